"""Ground truth of one batch on the device, padded to one number of boxes per image."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jld.ops.mask_targets import BitmapTargets, MaskTargets, PolygonTargets
from jld.toolchain import jittor as jt


@dataclass(frozen=True)
class Targets:
    """Ground truth of N images with G box slots each; an image without objects has a mask of zeros.

    Attributes:
        boxes: [N, G, 4] corners in px of the network input, or [N, G, 5] rotated boxes (centre, width,
            height in px, angle in radians); zero where padded.
        labels: [N, G] int32 in [0, C), 0 where padded.
        mask: [N, G] float32, 1 for real boxes.
        boxes_ignore: [N, Gi, 4 or 5] boxes that are neither objects nor background (crowds, difficult ones).
        ignore_mask: [N, Gi] float32, 1 for real ones.
        pad_shapes: NumPy [N, 2] height, width in px of every image, padded on its own.
        img_shapes: NumPy [N, 2] the same before padding; None where nobody needs it.
        masks: of the G objects, see `jld.ops.mask_targets`; None where the dataset has no masks.
        seeds: [N] int32, different for every image and step: what is drawn for an image follows from its own.
            None: nothing can be drawn.
    """

    boxes: jt.Var
    labels: jt.Var
    mask: jt.Var
    boxes_ignore: jt.Var
    ignore_mask: jt.Var
    pad_shapes: np.ndarray
    img_shapes: np.ndarray | None = None
    masks: MaskTargets | None = None
    seeds: jt.Var | None = None

    @classmethod
    def from_batch(cls, batch: Mapping[str, Any], *drawn_from: int) -> Targets:
        """The targets of a collated batch dict (NumPy).

        Args:
            drawn_from: numbers that `seeds` follow from, with the image's id: the run's seed and the step.
        """
        floats = {
            name: _constant(batch[key], np.float32)
            for name, key in (
                ("boxes", "boxes"),
                ("mask", "box_mask"),
                ("boxes_ignore", "boxes_ignore"),
                ("ignore_mask", "ignore_mask"),
            )
        }
        labels = _constant(batch["labels"], np.int32)
        shapes = {key: np.asarray(batch[key], np.float32) for key in ("pad_shapes", "img_shapes")}
        ids = batch.get("img_ids", range(len(labels)))
        texts = [" ".join(map(str, (*drawn_from, img_id))) for img_id in ids]
        seeds = _constant([zlib.crc32(text.encode()) >> 1 for text in texts], np.int32)
        return cls(labels=labels, masks=_masks_from(batch), seeds=seeds, **shapes, **floats)


def _masks_from(batch: Mapping[str, Any]) -> MaskTargets | None:
    if "mask_bitmaps" in batch:
        return BitmapTargets(_constant(batch["mask_bitmaps"], np.uint8))
    if "mask_vertices" not in batch:
        return None
    starts = (_constant(batch[key], np.int32) for key in ("mask_part_starts", "mask_object_starts"))
    return PolygonTargets(_constant(batch["mask_vertices"], np.float32), *starts)


def _constant(values: Any, dtype: type) -> jt.Var:
    return jt.array(np.ascontiguousarray(values, dtype)).stop_grad()
