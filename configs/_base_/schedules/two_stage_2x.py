"""As schedule_2x, at lr 0.02 for 16 images a step."""

_base_ = "schedule_2x.py"

optimizer = dict(lr=0.02)
