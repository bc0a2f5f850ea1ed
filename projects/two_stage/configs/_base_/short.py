"""A training of minutes from random weights, as the quick start's."""

logger = dict(type="RunLogger", loggers=["TextLogger", "TensorboardLogger"])
optimizer = dict(type="AdamW", lr=0.002, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(type="StepLR", milestones=[6, 7], gamma=0.3, warmup="linear", warmup_iters=50, warmup_ratio=0.1)
max_epoch = 8
eval_interval = 4
checkpoint_interval = 4
log_interval = 20
