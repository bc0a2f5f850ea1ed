"""MGD on GFL: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/mgd/mgd_gfl_r50_from_r101_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the authors publish no weights for GFL; these are those of RetinaNet. The student starts as usual.
"""

_base_ = "../gfl/gfl_r50_1x_coco_batch16.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(type="MGD", weight=2e-5, masked=0.65),
    ],
)
optimizer = dict(grad_clip=dict(max_norm=35, norm_type=2))
published = None  # of the plain detector
