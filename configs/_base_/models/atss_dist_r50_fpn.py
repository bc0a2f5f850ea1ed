"""ATSS with box distributions, as HikariTJU/LD's atss_gfl configs: 17 bins a side instead of box deltas."""

_base_ = "atss_r50_fpn.py"

model = dict(bbox_head=dict(reg_max=16, box_coder=None))
