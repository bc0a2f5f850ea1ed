"""The drawn scenes with the masks of their objects."""

_base_ = "drawn.py"

dataset = dict(train=dict(with_masks=True), val=dict(with_masks=True), test=dict(with_masks=True))
