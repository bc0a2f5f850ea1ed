"""12 epochs, lr 0.01 for 16 images a step, divided by ten after epochs 8 and 11, 500 warm-up iterations."""

optimizer = dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001)
scheduler = dict(type="StepLR", milestones=[8, 11], gamma=0.1, warmup="linear", warmup_iters=500, warmup_ratio=0.001)
logger = dict(type="RunLogger", loggers=["TextLogger", "TensorboardLogger"])
max_epoch = 12
eval_interval = 1
checkpoint_interval = 1
log_interval = 50
