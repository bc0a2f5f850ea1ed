"""PKD on GFL: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/pkd/pkd_gfl_r50_from_r101_1x_coco.py --task=train
Published: none by the authors or in a released configuration.
Measured with jld: not measured. Memory, time: not measured.
Differs: no row of its own; weight and levels are those that CrossKD adds PKD with.
"""

_base_ = "../gfl/gfl_r50_1x_coco_batch16.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(type="PKD", weight=6.0),
    ],
)
published = None  # of the plain detector
