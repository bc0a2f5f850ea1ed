"""Thermal drone images, distilled GWD student: the plain GWD student plus the terms of `ld_hit_uav_student.py`.

Command: python tools/run_net.py --config-file=projects/rotated_ld/configs/ld_hit_uav_gwd_student.py --task=train
Published: none. Measured with jld: see projects/rotated_ld/README.md.
"""

_base_ = ["ld_hit_uav_student.py", "../../../configs/_base_/models/rotated_gwd.py"]
