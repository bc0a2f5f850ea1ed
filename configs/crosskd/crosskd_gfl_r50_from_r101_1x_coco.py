"""CrossKD on GFL: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/crosskd/crosskd_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 43.7 (README of jbwang1997/CrossKD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = "../gfl/gfl_r50_1x_coco_batch16.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(type="CrossKD", depth=3, cls_weight=1.0, box_weight=4.0),
    ],
)
published = dict(row="crosskd-gfl-r50-from-r101-1x")
