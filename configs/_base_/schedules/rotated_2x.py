"""24 epochs, lr divided by ten after epochs 16 and 22; otherwise rotated_1x."""

_base_ = "rotated_1x.py"

scheduler = dict(milestones=[16, 22])
max_epoch = 24
