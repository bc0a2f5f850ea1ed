"""FGD on GFL: R-50 from R-101, 1x, COCO. The student starts from the teacher's neck and head.

Command: python tools/run_net.py --config-file=configs/fgd/fgd_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 43.5 (README of yzd-v/FGD).
Measured with jld: not measured. Memory, time: not measured.
Differs: nothing known. As released, masks are stretched on padded images (box_frame="image") and the sums of a
level are not divided by its cells.
"""

_base_ = "../gfl/gfl_r50_1x_coco_batch16.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(
            type="FGD", fg_weight=1e-3, bg_weight=5e-4, attention_weight=5e-4, global_weight=5e-6, temperature=0.5,
            box_frame="image",
        ),
    ],
    init_from_teacher=["neck", "bbox_head"],
)
optimizer = dict(grad_clip=dict(max_norm=35, norm_type=2))
published = dict(row="fgd-gfl-r50-from-r101-1x")
