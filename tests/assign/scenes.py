"""Targets and priors for assigner and region tests, and a slow NumPy twin of ATSS written box by box."""

import numpy as np

from jld.boxes.priors import AnchorGenerator
from jld.models.targets import Targets

STRIDES = (8, 16, 32, 64, 128)
SINGLE = AnchorGenerator(STRIDES)


def padded(rows, width, dtype=np.float32):
    """Rows of different lengths as one array with a mask, padded to the next power of two of at least 8."""
    slots = 8
    while slots < max(len(row) for row in rows):
        slots *= 2
    out = np.zeros((len(rows), slots, width), dtype)
    mask = np.zeros((len(rows), slots), np.float32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = np.asarray(row, dtype).reshape(-1, width)
        mask[i, : len(row)] = 1
    return out, mask


def make_targets(boxes, pad_shapes, labels=None, ignore=None):
    """Targets of a list of box arrays, one per image."""
    labels = labels if labels is not None else [np.arange(len(b)) for b in boxes]
    box_array, mask = padded(boxes, 4)
    label_array, _ = padded([np.asarray(row)[:, None] for row in labels], 1, np.int32)
    ignore_array, ignore_mask = padded(ignore if ignore is not None else [[] for _ in boxes], 4)
    pads = np.asarray(pad_shapes, np.float32)
    return Targets.from_batch(
        {
            "boxes": box_array, "labels": label_array[..., 0], "box_mask": mask, "boxes_ignore": ignore_array,
            "ignore_mask": ignore_mask, "pad_shapes": pads, "img_shapes": pads,
        }
    )  # fmt: skip


def feature_sizes(height, width, strides=STRIDES):
    return [(-(-height // s), -(-width // s)) for s in strides]


def random_boxes(rng, count, height, width):
    """Boxes of many sizes; some reach over the image's border or lie outside."""
    centers = rng.uniform(-0.1, 1.1, (count, 2)) * (width, height)
    sizes = np.exp(rng.uniform(np.log(6), np.log(1.5 * max(height, width)), (count, 2)))
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], 1).astype(np.float32)


def overlaps(first, second, mode="iou", dtype=np.float64):
    """NumPy [A, B] IoU, `iof` or `gate_iof`, the released code's gate: IoF - squared relative centre
    distance.
    """
    first, second = np.asarray(first, dtype), np.asarray(second, dtype)
    a, b = first[:, None], second[None]
    inter = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(-1)
    area_a, area_b = (a[..., 2:] - a[..., :2]).prod(-1), (b[..., 2:] - b[..., :2]).prod(-1)
    ratio = inter / np.maximum(
        area_a if mode in ("iof", "gate_iof") else area_a + area_b - inter, dtype(1e-6)
    )
    if not mode.startswith("gate"):
        return ratio
    outer = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    shift = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    return ratio - (shift**2).sum(-1) / np.maximum((outer**2).sum(-1), 1e-6)


def atss_twin(boxes, level_slices, gts, valid, topk, ignored=None):
    """(gt_index [P], t_g [G], candidates [G, P]) of one image, the way the paper's algorithm reads.

    Distances are rounded so that equal ones are equal; ties go to the lower index.
    """
    centers = (boxes[:, :2] + boxes[:, 2:]).astype(np.float64) / 2
    iou = overlaps(boxes, gts)
    best, index = np.full(len(boxes), -1.0), np.full(len(boxes), -1)
    thresholds, candidates = np.full(len(gts), np.inf), np.zeros((len(gts), len(boxes)), bool)
    for g, gt in enumerate(np.asarray(gts, np.float64)):
        distance = np.hypot(*(centers - (gt[:2] + gt[2:]) / 2).T).round(4)
        if ignored is not None:
            distance[ignored] = 1e8
        for section in level_slices:
            inside = np.arange(section.start, section.stop)[valid[section]]
            candidates[g, inside[np.argsort(distance[inside], kind="stable")[:topk]]] = True
        chosen = iou[candidates[g], g]
        if len(chosen) > 1:
            thresholds[g] = chosen.mean() + chosen.std(ddof=1)
        inset = np.minimum(centers - gt[:2], gt[2:] - centers).min(1)
        positive = candidates[g] & (iou[:, g] >= thresholds[g]) & (inset > 0.01) & (iou[:, g] > best)
        best[positive], index[positive] = iou[positive, g], g
    return index, thresholds, candidates
