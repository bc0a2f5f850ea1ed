"""As coco_detection, with the masks of the objects."""

_base_ = "coco_detection.py"

dataset = dict(train=dict(with_masks=True), val=dict(with_masks=True), test=dict(with_masks=True))
