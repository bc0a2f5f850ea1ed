"""LGD on RetinaNet Swin-T, 3x, short side 640 to 800, COCO, in detectron2's conventions, as released.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_retinanet_swint_detectron2_ms_3x_coco.py --task=train
Published: val AP 45.9 (README of megvii-research/LGD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["../retinanet/retinanet_swint_detectron2_ms_3x_coco.py", "../_base_/distill/lgd.py"]

_adamw = dict(type="AdamW", lr=0.0001, weight_decay=0.05, grad_clip=dict(max_value=1.0), _cover_=True)

# The phases of the shorter schedule: 20,000 and 30,000 steps.
distill = dict(terms=[dict(type="InstructiveMSE", schedule=dict(start=30000))])
optimizer = dict(
    student=dict(
        match="*", but_not="distill.teacher.*", parameter_groups=[dict(match="backbone.*", start=20000)], **_adamw
    ),
    teacher=dict(match="distill.teacher.*", **_adamw),
)
published = dict(row="lgd-retinanet-swin-t-ms-3x")
