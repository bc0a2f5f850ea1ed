"""180k steps of 16 images, lr 0.01, a tenth from steps 120k and 160k on, 1000 warm-up steps, gradients in [-1, 1]."""

_base_ = "schedule_1x.py"

optimizer = dict(grad_clip=dict(max_value=1.0))
scheduler = dict(milestones=[120000, 160000], warmup_iters=1000)
max_epoch = None
max_iter = 180000
