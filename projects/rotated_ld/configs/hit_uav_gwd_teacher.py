"""Thermal drone images, GWD teacher: the teacher with the Wasserstein distance as box loss, in 20 epochs.

Command: python tools/run_net.py --config-file=projects/rotated_ld/configs/hit_uav_gwd_teacher.py --task=train
Published: none. Measured with jld: see projects/rotated_ld/README.md.
"""

_base_ = ["hit_uav_teacher.py", "../../../configs/_base_/models/rotated_gwd.py"]

scheduler = dict(milestones=[14, 18])
max_epoch = 20
