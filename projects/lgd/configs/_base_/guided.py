"""LGD with the optimizer of the plain students: no part rests, because none has anything to keep; the phases are shares."""

_base_ = "../../../../configs/_base_/distill/lgd.py"

_adamw = dict(type="AdamW", lr=0.002, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2))

optimizer = dict(
    _cover_=True,
    student=dict(match="*", but_not="distill.teacher.*", **_adamw),
    teacher=dict(match="distill.teacher.*", **_adamw),
)
auto_scale_lr = None  # nor does the plain student's rate follow the images of a step
