"""Three images on a pyramid of two levels, the last without objects, and a small head to train on them."""

import numpy as np

NUM_CLASSES, SIZES = 3, [(4, 6), (2, 3)]
NUM_CELLS = sum(height * width for height, width in SIZES)
PADS = [(32, 48)] * 3
BOXES = [
    np.float32([[2, 3, 20, 16], [10, 8, 46, 30], [1, 1, 9, 8]]),
    np.float32([[5, 5, 30, 28]]),
    np.zeros((0, 4), np.float32),
]
# What the configs of all small heads share.
HEAD = {
    "num_classes": NUM_CLASSES,
    "in_channels": 4,
    "feat_channels": 4,
    "stacked_convs": 1,
    "nms": {"type": "ClasswiseNMS", "iou_threshold": 0.5},
}
