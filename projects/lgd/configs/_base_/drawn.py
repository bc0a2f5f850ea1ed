"""The drawn scenes, half as many and in batches of 8: a label-guided step costs more than two plain ones."""

_base_ = "../../../two_stage/configs/_base_/drawn.py"

dataset = dict(train=dict(num_images=400, batch_size=8), val=dict(num_images=300, batch_size=8))
eval_interval = 8
