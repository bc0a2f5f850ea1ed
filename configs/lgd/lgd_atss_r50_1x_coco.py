"""LGD on ATSS R-50, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_atss_r50_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the paper's ATSS (39.3 to 40.0 AP) is cvpods', of which no config is released; this is
mmDetection's.
"""

_base_ = ["../atss/atss_r50_1x_coco.py", "../_base_/distill/lgd.py"]

published = None  # of the plain detector
