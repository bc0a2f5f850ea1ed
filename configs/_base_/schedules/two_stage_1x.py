"""As schedule_1x, at lr 0.02 for 16 images a step."""

_base_ = "schedule_1x.py"

optimizer = dict(lr=0.02)
