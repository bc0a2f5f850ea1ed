"""Detections in patches, flipped views or several scales become detections of whole images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jld.boxes.rotated import flip_polys, nms_polys, record_polys
from jld.data.dota.names import check_style, parse_patch_name
from jld.errors import ConfigError

Detections = list[dict[str, Any]]
MERGE_IOU = 0.1
FLIPS = {"H": "horizontal", "V": "vertical", "HV": "diagonal"}


def merge_patches(
    detections: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    *,
    style: str = "jdet",
    iou_threshold: float | Mapping[str, float] = MERGE_IOU,
    image_ids: Sequence[str] | None = None,
) -> Detections:
    """Moves detections of patches to their images and drops, per class, those that overlap a better one.

    Args:
        detections: per patch `img_id` (a patch name), `polys` [K, 8] or `rboxes` [K, 5] in px of the patch,
            `scores` [K], `labels` [K] 0-based. Patches of several rates may be mixed.
        classes: names, in the order of the labels.
        style: how the patches were named, "jdet" or "mmrotate"; see `jld.data.dota.names`.
        iou_threshold: overlaps above it suppress; one number, or one per class name.
        image_ids: images to return, in this order, with or without detections; by default those with patches.
    Returns:
        per image `img_id`, `polys` [K, 8] float32 px of the image, `scores`, `labels`, best score first.
    Raises:
        ConfigError: unknown style, or no threshold for a class.
        DataError: not a patch name, or one that does not suit the style.
    """
    check_style(style)
    moved = []
    for record in detections:
        place = parse_patch_name(str(record["img_id"]), style)
        polys = (record_polys(record) + np.tile([place.x, place.y], 4)) / place.rate
        moved.append({**record, "img_id": place.image_id, "polys": polys})
    return merge_views([moved], classes, iou_threshold=iou_threshold, image_ids=image_ids)


def merge_views(
    views: Sequence[Sequence[Mapping[str, Any]]],
    classes: Sequence[str],
    *,
    iou_threshold: float | Mapping[str, float] = MERGE_IOU,
    image_ids: Sequence | None = None,
) -> Detections:
    """Joins several lists of detections of the same images and suppresses per image and class.

    Args:
        views: lists such as those of the plain images and of `unflip_detections`; an image may occur in any
            number of them and any number of times.
        classes, iou_threshold, image_ids: see `merge_patches`.
    Returns:
        as `merge_patches`.
    Raises:
        ConfigError: no threshold for a class.
    """
    records = [record for view in views for record in view]
    wanted = list(dict.fromkeys(record["img_id"] for record in records) if image_ids is None else image_ids)
    position = {image_id: index for index, image_id in enumerate(wanted)}
    records = [record for record in records if record["img_id"] in position]
    polys = _joined([record_polys(record) for record in records], (0, 8), np.float64)
    scores = _joined([record["scores"] for record in records], 0, np.float32)
    labels = _joined([record["labels"] for record in records], 0, np.int64)
    images = np.repeat(
        np.array([position[record["img_id"]] for record in records], np.int64),
        [len(record["scores"]) for record in records],
    )
    thresholds = _thresholds(iou_threshold, classes)[labels]
    kept = nms_polys(polys, scores, thresholds, images * max(len(classes), 1) + labels)
    kept = kept[np.argsort(images[kept], kind="stable")]  # by image, best score first within each
    ends = np.searchsorted(images[kept], np.arange(len(wanted) + 1))
    merged = []
    for index, image_id in enumerate(wanted):
        rows = kept[ends[index] : ends[index + 1]]
        merged.append(
            {
                "img_id": image_id,
                "polys": polys[rows].astype(np.float32),
                "scores": scores[rows],
                "labels": labels[rows],
            }
        )
    return merged


def unflip_detections(
    detections: Sequence[Mapping[str, Any]], flip: str, image_sizes: Mapping[Any, tuple[int, int]]
) -> Detections:
    """Detections of flipped images, in the coordinates of the images as they are.

    Args:
        detections: see `merge_patches`; the names are those of the unflipped images.
        flip: "H", "V" or "HV", as in the config key `flip_test`.
        image_sizes: {img_id: (height, width)} px of what was flipped (the patches).
    Returns:
        the same records with `polys` mirrored back.
    Raises:
        ConfigError: unknown flip.
    """
    if flip not in FLIPS:
        raise ConfigError(f"flip_test knows {', '.join(FLIPS)}, not {flip!r}.")
    return [
        {
            **{key: value for key, value in record.items() if key not in ("rboxes", "boxes")},
            "polys": flip_polys(record_polys(record), FLIPS[flip], image_sizes[record["img_id"]]),
        }
        for record in detections
    ]


def _thresholds(iou_threshold: float | Mapping[str, float], classes: Sequence[str]) -> np.ndarray:
    if not isinstance(iou_threshold, Mapping):
        return np.full(len(classes), float(iou_threshold))
    missing = [name for name in classes if name not in iou_threshold]
    if missing:
        raise ConfigError(f"no merging threshold is given for {', '.join(missing)}.")
    return np.array([iou_threshold[name] for name in classes], np.float64)


def _joined(arrays: Sequence[Any], empty: Any, dtype: type) -> np.ndarray:
    return (
        np.concatenate([np.asarray(array, dtype) for array in arrays]) if arrays else np.zeros(empty, dtype)
    )
