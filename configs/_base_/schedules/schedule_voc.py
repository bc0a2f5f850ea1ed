"""4 epochs of three passes, lr divided by ten after epoch 3, lr 0.00375 for 6 images a step."""

_base_ = "schedule_1x.py"

optimizer = dict(lr=0.00375)
scheduler = dict(milestones=[3])
max_epoch = 4
