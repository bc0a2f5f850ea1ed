"""PKD on RetinaNet: R-50 from X-101-64x4d, 2x, COCO (open-mmlab/mmrazor).

Command: python tools/run_net.py --config-file=configs/pkd/pkd_retinanet_r50_from_x101_2x_coco.py --task=train
Published: val AP 40.8 (open-mmlab/mmrazor, PKD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = "../retinanet/retinanet_r50_2x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/retinanet/retinanet_x101_64x4d_1x_coco.py", checkpoint="weights/retinanet_x101_64x4d_1x_coco.pth"
    ),
    terms=[
        dict(type="PKD", weight=10.0, levels=[0, 1, 2, 3]),
    ],
)
published = dict(row="mmrazor-pkd-retinanet-r50-from-x101-2x")
