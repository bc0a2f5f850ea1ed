"""Small detections and ground truth for the evaluators' tests, and those of the golden file."""

import re

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.masks import from_counts, mask_areas
from tests.golden_masks import polygons


def detected(img_id, boxes, scores, labels):
    return Detections(img_id, scores, labels, boxes=np.asarray(boxes, np.float32).reshape(-1, 4))


def truth(img_id, boxes, labels, *, difficult=None, crowd=None, areas=None):
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return {
        "img_id": img_id,
        "img_file": f"{img_id}.jpg",
        "width": 200,
        "height": 200,
        "boxes": boxes,
        "labels": np.asarray(labels, np.int64),
        "is_crowd": np.asarray(np.zeros(len(boxes)) if crowd is None else crowd, bool),
        "is_difficult": np.asarray(np.zeros(len(boxes)) if difficult is None else difficult, bool),
        "areas": np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        if areas is None
        else np.asarray(areas, np.float64),
    }


def crowd_case():
    """A box that is found, and a crowd with one better scored detection that covers most of it."""
    found = [detected(1, [(100, 100, 180, 180), (0, 0, 10, 10)], [0.9, 0.8], [0, 0])]
    return found, [truth(1, [(0, 0, 10, 10), (100, 100, 190, 190)], [0, 0], crowd=[False, True])]


def golden_records(arrays):
    """(detections, ground truth, number of classes); ignored boxes are difficult ones."""
    images = sorted(int(key.rsplit("/", 1)[1]) for key in arrays if re.fullmatch(r"in/bboxes/\d+", key))
    num_classes = 1 + max(
        int(key.rsplit("/", 1)[1]) for key in arrays if re.fullmatch(r"in/det/\d+/\d+", key)
    )
    found, ground_truth = [], []
    for image in images:
        rows = [arrays[f"in/det/{image}/{label}"] for label in range(num_classes)]
        labels = np.repeat(np.arange(num_classes), [len(row) for row in rows])
        rows = np.concatenate(rows)
        found.append(detected(image, rows[:, :4], rows[:, 4], labels))
        boxes, ignored = arrays[f"in/bboxes/{image}"], arrays[f"in/bboxes_ignore/{image}"]
        labels = np.concatenate([arrays[f"in/labels/{image}"], arrays[f"in/labels_ignore/{image}"]])
        flags = np.arange(len(labels)) >= len(boxes)
        ground_truth.append(truth(image, np.concatenate([boxes, ignored]), labels, difficult=flags))
    return found, ground_truth, num_classes


def golden_masks(meta, arrays):
    """(detections, ground truth) of `t_eval_mask`, which gives masks as polygons and as plain counts."""
    size = tuple(meta["size"])
    drawn = iter(polygons(arrays, 0, size).rles())
    counts = iter(_split(arrays["in/gt_rle/counts"], arrays["in/gt_rle/lengths"]))
    masks = [next(drawn) if kind == 0 else from_counts(next(counts), size) for kind in arrays["in/gt/kind"]]
    assert mask_areas(masks).tolist() == arrays["out/gt_mask_area"].tolist()
    theirs = [
        from_counts(each, size) for each in _split(arrays["in/det/rle/counts"], arrays["in/det/rle/lengths"])
    ]
    found, ground_truth = [], []
    for image in np.union1d(arrays["in/gt/image"], arrays["in/det/image"]).tolist():
        own = np.flatnonzero(arrays["in/gt/image"] == image)
        entry = truth(
            image, _xyxy(arrays["in/gt/bbox"][own]), arrays["in/gt/cls"][own],
            crowd=arrays["in/gt/crowd"][own], areas=arrays["in/gt/area"][own],
        )  # fmt: skip
        size_and_masks = {"height": size[0], "width": size[1], "masks": [masks[row] for row in own]}
        ground_truth.append(entry | size_and_masks)
    for image in np.unique(arrays["in/det/image"]).tolist():
        own = np.flatnonzero(arrays["in/det/image"] == image)
        found.append(
            Detections(
                image, arrays["in/det/score"][own], arrays["in/det/cls"][own],
                boxes=_xyxy(arrays["out/det_bbox"][own]), masks=[theirs[row] for row in own],
            )
        )  # fmt: skip
    return found, ground_truth


def _split(counts, lengths):
    return [part.tolist() for part in np.split(counts, np.cumsum(lengths)[:-1])]


def _xyxy(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
