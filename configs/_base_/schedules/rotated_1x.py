"""12 epochs, lr 0.0025 for 2 images a step, a tenth after epochs 8 and 11, 500 warm-up iterations from a third."""

optimizer = dict(
    type="SGD", lr=0.0025, momentum=0.9, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2)
)
scheduler = dict(type="StepLR", milestones=[8, 11], gamma=0.1, warmup="linear", warmup_iters=500, warmup_ratio=1 / 3)
logger = dict(type="RunLogger", loggers=["TextLogger", "TensorboardLogger"])
max_epoch = 12
eval_interval = 1
checkpoint_interval = 1
log_interval = 50
