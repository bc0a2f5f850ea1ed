"""JDet's conventions for rotated RetinaNet, on top of the mmRotate ones.

Angles of the version le135 in units of pi, offsets along the anchor's axes, anchors in the middle of their cell
((stride - 1) / 2 px), ground truth matched as it lies, 1x1 prediction layers, centres not clamped at test time.
"""

model = dict(
    bbox_head=dict(
        kernel_size=1, clamp_centers=False,
        priors=dict(center_offset=0.5, center_shift_px=-0.5),
        assigner=dict(overlaps=dict(upright=False)),
        box_coder=dict(angle_version="le135", proj_xy=True, norm_factor=1),
    )
)
