"""FGD on RetinaNet: R-50 from X-101-64x4d, 2x, COCO. The student starts from the teacher's neck and head.

Command: python tools/run_net.py --config-file=configs/fgd/fgd_retinanet_r50_from_x101_2x_coco.py --task=train
Published: val AP 40.7 (README of yzd-v/FGD).
Measured with jld: not measured. Memory, time: not measured.
Differs: nothing known. As released, masks are stretched on padded images (box_frame="image") and the sums of a
level are not divided by its cells.
"""

_base_ = "../retinanet/retinanet_r50_2x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/retinanet/retinanet_x101_64x4d_1x_coco.py", checkpoint="weights/retinanet_x101_64x4d_1x_coco.pth"
    ),
    terms=[
        dict(
            type="FGD", fg_weight=1e-3, bg_weight=5e-4, attention_weight=5e-4, global_weight=5e-6, temperature=0.5,
            box_frame="image",
        ),
    ],
    init_from_teacher=["neck", "bbox_head"],
)
optimizer = dict(grad_clip=dict(max_norm=35, norm_type=2))
published = dict(row="fgd-retinanet-r50-from-x101-2x")
