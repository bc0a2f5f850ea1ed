"""Thermal drone images, what the students without GWD start from: the plain student at the full rate.

Command: python tools/run_net.py --config-file=projects/rotated_ld/configs/hit_uav_start.py --task=train
Published: none. Measured with jld: see projects/rotated_ld/README.md. Published students start from trained features, too.
"""

_base_ = "hit_uav_student.py"

scheduler = dict(milestones=[])
