"""Wasserstein distance of decoded boxes as box loss (arXiv:2101.11952), on top of a rotated model.

The floor of the square roots is mmRotate's from 0.3 on; Rotated-LD has none, which is not a number for equal boxes.
"""

model = dict(
    bbox_head=dict(reg_decoded_bbox=True, loss_bbox=dict(type="GDLoss", loss_type="gwd", fun="log1p", loss_weight=5.0))
)
