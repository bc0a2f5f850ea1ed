"""Detections in patches, flipped views or several scales become detections of whole images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.rotated import flip_polys, nms_polys, polys_to_xyxy, shapes_to_polys
from jld.data.dota.names import check_style, parse_patch_name
from jld.errors import ConfigError, DataError

MergeIou = float | Mapping[str, float]
MERGE_IOU = 0.1
UPRIGHT_MERGE_IOU = 0.5  # upright neighbours of a kind overlap by more than rotated ones
FLIPS = {"H": "horizontal", "V": "vertical", "HV": "diagonal"}


def merge_patches(
    detections: Sequence[Detections],
    classes: Sequence[str],
    *,
    style: str = "jdet",
    iou_threshold: MergeIou | None = None,
    image_ids: Sequence[str] | None = None,
) -> list[Detections]:
    """Moves detections of patches to their images and drops, per class, those that overlap a better one.

    Args:
        detections: per patch, whose name is the `img_id`, in px of the patch. Patches of several rates may be
            mixed.
        classes: names, in the order of the labels.
        style: how the patches were named, "jdet" or "mmrotate"; see `jld.data.dota.names`.
        iou_threshold: overlaps above it suppress; one number, or one per class name; None is 0.1.
        image_ids: images to return, in this order, with or without detections; by default those with patches.
    Returns:
        per image the `polys` [K, 8] float32 px of the image, best score first.
    Raises:
        ConfigError: unknown style, or no threshold for a class.
        DataError: not a patch name, or one that does not suit the style.
    """
    check_style(style)
    moved = []
    for found in detections:
        place = parse_patch_name(str(found.img_id), style)
        polys = (found.corners() + np.tile([place.x, place.y], 4)) / place.rate
        moved.append(Detections(place.image_id, found.scores, found.labels, polys=polys))
    return merge_views([moved], classes, iou_threshold=iou_threshold, image_ids=image_ids)


def merge_views(
    views: Sequence[Sequence[Detections]],
    classes: Sequence[str],
    *,
    iou_threshold: MergeIou | None = None,
    image_ids: Sequence | None = None,
) -> list[Detections]:
    """Joins several lists of detections of the same images and suppresses per image and class.

    Args:
        views: lists such as those of the plain images and of `unflip_detections`; an image may occur in any
            number of them and any number of times.
        classes, iou_threshold, image_ids: see `merge_patches`; None is 0.5 where all are upright.
    Returns:
        as `merge_patches`; upright `boxes` where all are upright.
    Raises:
        ConfigError: no threshold for a class.
        DataError: they hold masks, which are not joined.
    """
    every = [found for view in views for found in view]
    if any(found.masks is not None for found in every):
        raise DataError("masks found in several views of an image cannot be joined: set flip_test to None.")
    is_upright = bool(every) and all(found.form == "boxes" for found in every)
    if iou_threshold is None:
        iou_threshold = UPRIGHT_MERGE_IOU if is_upright else MERGE_IOU
    wanted = list(dict.fromkeys(found.img_id for found in every) if image_ids is None else image_ids)
    position = {image_id: index for index, image_id in enumerate(wanted)}
    every = [found for found in every if found.img_id in position]
    polys = np.concatenate([np.zeros((0, 8)), *(found.corners() for found in every)])
    scores = np.concatenate([np.zeros(0, np.float32), *(found.scores for found in every)])
    labels = np.concatenate([np.zeros(0, np.int64), *(found.labels for found in every)])
    images = np.repeat(np.array([position[found.img_id] for found in every], np.int64), list(map(len, every)))
    thresholds = _thresholds(iou_threshold, classes, labels)
    kept = nms_polys(polys, scores, thresholds, images * (1 + labels.max(initial=0)) + labels)
    kept = kept[np.argsort(images[kept], kind="stable")]  # by image, best score first within each
    ends = np.searchsorted(images[kept], np.arange(len(wanted) + 1))
    form, shapes = ("boxes", polys_to_xyxy(polys)) if is_upright else ("polys", polys)
    return [
        Detections(image_id, scores[rows], labels[rows], **{form: shapes[rows].astype(np.float32)})
        for image_id, rows in zip(wanted, (kept[start:end] for start, end in pairwise(ends)), strict=True)
    ]


def merge_windows(
    detections: Sequence[Detections], windows: np.ndarray, img_id: Any, iou_threshold: float | None = None
) -> Detections:
    """Detections in windows of one image as those of the image, upright or rotated; best score first.

    Args:
        detections: per window, in px of the window.
        windows: [W, 4] px x1, y1, x2, y2, see `jld.data.dota.windows.image_windows`.
        img_id: of the image.
        iou_threshold: detections of one class that overlap a better one by more are dropped; None: see
            `merge_views`.
    Raises:
        DataError: they hold masks, which are not joined.
    """
    if any(found.masks is not None for found in detections):
        raise DataError("masks found in windows of an image cannot be joined: look at the whole image.")
    form = detections[0].form
    moves = {"boxes": [0, 1, 0, 1], "rboxes": [0, 1], "polys": [0, 1] * 4}[form]
    moved = []
    for found, window in zip(detections, windows, strict=True):
        shapes = found.shapes.astype(np.float64)
        shapes[:, : len(moves)] += window[moves]
        moved.append(shapes)
    shapes = np.concatenate(moved)
    scores = np.concatenate([found.scores for found in detections])
    labels = np.concatenate([found.labels for found in detections])
    if iou_threshold is None:
        iou_threshold = UPRIGHT_MERGE_IOU if form == "boxes" else MERGE_IOU
    kept = nms_polys(shapes_to_polys(shapes), scores, iou_threshold, labels)
    chosen = {form: shapes[kept].astype(np.float32)}
    return Detections(img_id, scores[kept], labels[kept], **chosen)


def unflip_detections(
    detections: Sequence[Detections], flip: str, image_sizes: Mapping[Any, tuple[int, int]]
) -> list[Detections]:
    """Detections of flipped images, in the coordinates of the images as they are.

    Args:
        detections: see `merge_patches`; the names are those of the unflipped images.
        flip: "H", "V" or "HV", as in the config key `flip_test`.
        image_sizes: {img_id: (height, width)} px of what was flipped (the patches).
    Returns:
        the same with their corners mirrored back: upright `boxes` of upright ones, and else `polys`.
    Raises:
        ConfigError: unknown flip.
    """
    if flip not in FLIPS:
        raise ConfigError(f"flip_test knows {', '.join(FLIPS)}, not {flip!r}.")
    mirrored = []
    for found in detections:
        polys = flip_polys(found.corners(), FLIPS[flip], image_sizes[found.img_id])
        if found.boxes is None:
            mirrored.append(replace(found, polys=polys, rboxes=None))
        else:
            mirrored.append(replace(found, boxes=polys_to_xyxy(polys)))
    return mirrored


def _thresholds(iou_threshold: MergeIou, classes: Sequence[str], labels: np.ndarray) -> np.ndarray:
    if not isinstance(iou_threshold, Mapping):
        return np.full(len(labels), float(iou_threshold))
    missing = [name for name in classes if name not in iou_threshold]
    if missing:
        raise ConfigError(f"no merging threshold is given for {', '.join(missing)}.")
    return np.array([iou_threshold[name] for name in classes], np.float64)[labels]
