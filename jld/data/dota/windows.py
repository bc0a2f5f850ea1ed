"""Where patches lie in an image, and what of an object a patch shows, in the two published ways.

Windows are [n, 4] integers x1, y1, x2, y2 px and may reach beyond a small image.
"""

from __future__ import annotations

import numpy as np
import shapely

from jld.boxes.rotated import candidate_pairs, poly_areas, polys_to_xyxy
from jld.boxes.rotated.polygon_iou import polys_to_geometries
from jld.data.dota.labels import TRUNCATED, PolyAnnotation
from jld.errors import ConfigError

# An object of which no more than this share is left counts as cut ("jdet") or is left out ("mmrotate").
MIN_SHARE = 0.7
# MMRotate leaves out windows that show less than this share of image, unless all do.
MIN_IMAGE_SHARE = 0.6
IMAGE_SHARE_TOLERANCE = 0.01
# `yx_style` writes every object with more than this share a second time.
YX_SHARE = 0.5


def window_starts(length: int, size: int, step: int) -> list[int]:
    """First pixels of windows along one side: every `step`, the last one moved back to end at the border.

    Args:
        length: of the image side in px; size: of the window; step: between windows, size - overlap.
    """
    if length <= size:
        return [0]
    starts = list(range(0, length - size, step))
    return [*starts, length - size]


def image_windows(width: int, height: int, size: int, overlap: int) -> np.ndarray:
    """Windows of one size over an image, columns from left to right, within a column from top to bottom.

    Raises:
        ConfigError: the overlap is not smaller than the window.
    """
    if not 0 <= overlap < size:
        raise ConfigError(
            f"overlap_size is {overlap} px, it must be at least 0 and below subimage_size {size} px."
        )
    step = size - overlap
    corners = [(x, y) for x in window_starts(width, size, step) for y in window_starts(height, size, step)]
    starts = np.array(corners, np.int64)
    return np.concatenate([starts, starts + size], 1)


def drop_empty_windows(windows: np.ndarray, width: int, height: int) -> np.ndarray:
    """Windows that show enough of the image; where none does, those that show the most. Source: MMRotate."""
    shown = np.clip(windows, 0, [width, height, width, height])
    areas = np.prod(shown[:, 2:] - shown[:, :2], axis=1)
    shares = areas / np.prod(windows[:, 2:] - windows[:, :2], axis=1)
    is_kept = shares > MIN_IMAGE_SHARE
    return windows[is_kept if is_kept.any() else shares > shares.max() - IMAGE_SHARE_TOLERANCE]


def cut_for_mmrotate(annotation: PolyAnnotation, windows: np.ndarray) -> list[PolyAnnotation]:
    """The objects of each window as MMRotate keeps them: whole, with float coordinates that may leave the
    patch.

    An object stays where at least 70 % of its area lies in the window; it gets the flag 2 where a part is
    outside.

    Args:
        annotation: objects of the image.
        windows: [W, 4] px.
    Returns:
        W annotations in patch coordinates.
    """
    x1, y1, x2, y2 = windows.T.astype(np.float64)
    frames = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], 1)
    rows, columns = candidate_pairs(annotation.polys, frames)
    # Like the reference by shapely to the last digit: an object with exactly 70 % inside must fall on its
    # side.
    geometries = polys_to_geometries(annotation.polys)
    areas = shapely.area(geometries)
    shared = shapely.area(shapely.intersection(geometries[rows], shapely.box(*windows[columns].T)))
    shares = np.zeros((len(annotation), len(windows)))
    shares[rows, columns] = np.where(areas[rows] > 0, shared / np.where(areas[rows] > 0, areas[rows], 1), 0)
    is_whole = _lies_inside(annotation.polys, windows)
    shares[is_whole & (areas > 0)[:, None]] = 1.0
    cut = []
    for column, window in enumerate(windows):
        kept = np.flatnonzero(shares[:, column] >= MIN_SHARE)
        inside = annotation.select(kept)
        flags = np.where(is_whole[kept, column], inside.difficult, TRUNCATED)
        cut.append(PolyAnnotation.of(inside.polys - np.tile(window[:2], 4), inside.names, flags))
    return cut


def cut_for_jdet(
    annotation: PolyAnnotation, window: np.ndarray, image_size: tuple[int, int], *, yx_style: bool = False
) -> PolyAnnotation:
    """The objects of one window as JDet and the DOTA development kit write them: clipped, with whole
    coordinates.

    Whole objects stay as they are. Cut ones become the visible part if that has four or five corners (the
    shortest edge of five is merged into its middle), with coordinates moved into [1, size], and get the flag
    2 where no more than 70 % is left; other parts are left out. The kit takes the last pixel row and column
    for outside.

    Args:
        annotation: objects of the image.
        window: [4] px.
        image_size: width, height px.
        yx_style: write every object with more than half of its area visible also whole, with flag 0.
    Returns:
        Objects in patch coordinates.
    """
    left, top, size = int(window[0]), int(window[1]), int(window[2] - window[0])
    frame = left, top, min(left + size, image_size[0] - 1), min(top + size, image_size[1] - 1)
    near = np.flatnonzero(poly_areas(annotation.polys) > 0)
    near = near[_touches(annotation.polys[near], frame)]
    is_whole = _lies_inside(annotation.polys[near], np.array([frame]))[:, 0]
    geometries = polys_to_geometries(annotation.polys[near])
    parts = shapely.intersection(geometries, shapely.box(*frame))
    shares = np.where(is_whole, 1.0, shapely.area(parts) / shapely.area(geometries))
    written = []
    for row, part, share in zip(near, parts, shares, strict=True):
        poly, flag = annotation.polys[row], int(annotation.difficult[row])
        if yx_style and share > YX_SHARE:
            written.append((np.trunc(poly - np.tile([left, top], 4)), annotation.names[row], 0))
        visible = poly if share == 1 else _visible_quad(part, poly)
        if share <= 0 or visible is None:
            continue
        moved = np.trunc(visible - np.tile([left, top], 4))
        if share < 1:
            moved = np.clip(moved, 1, size)
        written.append((moved, annotation.names[row], flag if share > MIN_SHARE else TRUNCATED))
    return PolyAnnotation.of(*zip(*written, strict=True)) if written else PolyAnnotation.of([], [])


def _touches(polys: np.ndarray, frame: tuple[float, ...]) -> np.ndarray:
    x1, y1, x2, y2 = polys_to_xyxy(polys).T
    return (x1 <= frame[2]) & (x2 >= frame[0]) & (y1 <= frame[3]) & (y2 >= frame[1])


def _lies_inside(polys: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """[n, W] bool: all corners lie in the window, its border included."""
    boxes, windows = polys_to_xyxy(polys)[:, None], windows[None]
    return (boxes[..., :2] >= windows[..., :2]).all(-1) & (boxes[..., 2:] <= windows[..., 2:]).all(-1)


def _visible_quad(part: shapely.Geometry, poly: np.ndarray) -> np.ndarray | None:
    """[8] the visible part as a quadrilateral whose corners follow those of the object, or None."""
    pieces = [piece for piece in shapely.get_parts(part) if piece.geom_type == "Polygon"]
    if not pieces:
        return None
    ring = shapely.orient_polygons(max(pieces, key=shapely.area), exterior_cw=False).exterior
    points = shapely.get_coordinates(ring)[:-1]
    if len(points) == 5:
        points = _merge_shortest_edge(points)
    if len(points) != 4:
        return None
    orders = [np.roll(points, -shift, axis=0).reshape(8) for shift in range(4)]
    return min(orders, key=lambda order: float(np.sum((order - poly) ** 2)))


def _merge_shortest_edge(points: np.ndarray) -> np.ndarray:
    """[4, 2] from [5, 2]: the ends of the shortest edge become its middle."""
    following = np.roll(points, -1, axis=0)
    shortest = int(np.argmin(np.linalg.norm(following - points, axis=1)))
    merged = points.copy()
    merged[shortest] = (points[shortest] + following[shortest]) / 2
    return np.delete(merged, (shortest + 1) % 5, axis=0)
