"""Priors and targets with rotated boxes for assigner and region tests."""

import numpy as np

from jld.boxes.rotated.anchors import RotatedAnchorGenerator
from jld.models.targets import Targets
from tests.assign.scenes import feature_sizes, padded

RETINA = RotatedAnchorGenerator()


def rotated_targets(boxes, pad_shapes, labels=None, ignore=None):
    """Targets of a list of rotated box arrays, one per image."""
    labels = labels if labels is not None else [np.arange(len(b)) for b in boxes]
    box_array, mask = padded(boxes, 5)
    label_array, _ = padded([np.asarray(row)[:, None] for row in labels], 1, np.int32)
    ignore_array, ignore_mask = padded(ignore if ignore is not None else [[] for _ in boxes], 5)
    pads = np.asarray(pad_shapes, np.float32)
    return Targets.from_batch(
        {
            "boxes": box_array, "labels": label_array[..., 0], "box_mask": mask, "boxes_ignore": ignore_array,
            "ignore_mask": ignore_mask, "pad_shapes": pads, "img_shapes": pads,
        }
    )  # fmt: skip


def rotated_scene(boxes, pad_shapes, generator=RETINA, **kwargs):
    """(priors, targets, valid mask) for images of these padded shapes."""
    pads = np.asarray(pad_shapes)
    priors = generator.priors(feature_sizes(*pads.max(0), generator.strides))
    targets = rotated_targets(boxes, pads, **kwargs)
    return priors, targets, priors.valid_mask(targets.pad_shapes)
