"""MGD on RetinaNet: R-50 from X-101-64x4d, 2x, COCO (open-mmlab/mmrazor). The student starts from the teacher's
neck and head.

Command: python tools/run_net.py --config-file=configs/mgd/mgd_retinanet_r50_from_x101_2x_coco.py --task=train
Published: val AP 41.0 (open-mmlab/mmrazor, MGD).
Measured with jld: not measured. Memory, time: not measured.
Differs: the authors' own row, with the same score, has a teacher of 3x and multi-scale training.
"""

_base_ = "../retinanet/retinanet_r50_2x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/retinanet/retinanet_x101_64x4d_1x_coco.py", checkpoint="weights/retinanet_x101_64x4d_1x_coco.pth"
    ),
    terms=[
        dict(type="MGD", weight=2e-5, masked=0.65),
    ],
    init_from_teacher=["neck", "bbox_head"],
)
optimizer = dict(grad_clip=dict(max_norm=35, norm_type=2))
published = dict(row="mmrazor-mgd-retinanet-r50-from-x101-2x")
