"""LGD on Mask R-CNN Swin-T, 3x, short side 640 to 800, COCO, in detectron2's conventions, as released.
Alone among the rows its labels hold masks; the student learns by AdamW, the teacher by SGD.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_mask_rcnn_swint_detectron2_ms_3x_coco.py --task=train
Published: val AP 46.4, and 42.5 of the masks (README of megvii-research/LGD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["../mask_rcnn/mask_rcnn_swint_detectron2_ms_3x_coco.py", "../_base_/distill/lgd.py"]

# The phases of the shorter schedule: 20,000 and 30,000 steps.
distill = dict(
    teacher=dict(context_box=False, detach_appearance=True, masks=True),
    terms=[dict(type="InstructiveMSE", schedule=dict(start=30000))],
)
optimizer = dict(
    student=dict(
        type="AdamW", lr=0.0001, weight_decay=0.05, grad_clip=dict(max_value=1.0), match="*",
        but_not="distill.teacher.*", parameter_groups=[dict(match="backbone.*", start=20000)], _cover_=True,
    ),
    teacher=dict(lr=0.02),
)
published = dict(row="lgd-mask-rcnn-swin-t-ms-3x")
