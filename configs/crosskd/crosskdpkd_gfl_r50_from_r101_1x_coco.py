"""CrossKD and PKD on GFL: R-50 from R-101, 1x, COCO. The best published figure of this pair.

Command: python tools/run_net.py --config-file=configs/crosskd/crosskdpkd_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 43.9 (README of jbwang1997/CrossKD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["../gfl/gfl_r50_1x_coco_batch16.py", "../_base_/distill/crosskd_pkd_gfl.py"]

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
)
published = dict(row="crosskd-pkd-gfl-r50-from-r101-1x")
