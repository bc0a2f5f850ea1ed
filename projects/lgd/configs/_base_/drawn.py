"""The drawn scenes, scored on 300 of them at the end alone."""

_base_ = "../../../two_stage/configs/_base_/drawn.py"

dataset = dict(val=dict(num_images=300))
eval_interval = 8
