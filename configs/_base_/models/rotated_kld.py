"""Kullback-Leibler divergence of decoded boxes as box loss (arXiv:2106.01883), on top of a rotated model.

As released, the mean is taken over the positives of each pyramid level and the levels are added.
"""

model = dict(
    bbox_head=dict(
        reg_decoded_bbox=True, box_normalizer="positives_per_level",
        loss_bbox=dict(type="GDLoss_v1", loss_type="kld", fun="log1p", tau=1.0, loss_weight=1.0),
    )
)
