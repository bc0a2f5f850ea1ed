"""BCKD on GFL: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/bckd/bckd_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 43.2 (README of TinyTigerPan/BCKD).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released code leaves out levels without a positive on each GPU (2 images), here on the whole batch
of a process.
"""

_base_ = "../gfl/gfl_r50_1x_coco_batch16.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(type="BCKD", cls_weight=1.0, box_weight=4.0, skip_levels_without_positive=True),
    ],
)
published = dict(row="bckd-gfl-r50-from-r101-1x")
