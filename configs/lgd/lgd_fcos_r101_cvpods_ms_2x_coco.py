"""LGD on FCOS R-101, 2x, short side 640 to 800, COCO, in cvpods's conventions, as released.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_fcos_r101_cvpods_ms_2x_coco.py --task=train
Published: val AP 44.0 (README of megvii-research/LGD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["../fcos/fcos_r101_cvpods_ms_2x_coco.py", "../_base_/distill/lgd.py"]

published = dict(row="lgd-fcos-r101-ms-2x")
