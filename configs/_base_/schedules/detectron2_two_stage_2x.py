"""As detectron2_2x, at lr 0.02 for 16 images a step."""

_base_ = "detectron2_2x.py"

optimizer = dict(lr=0.02)
