"""Label-guided distillation on top of any detector's config: teacher, term, phases and two optimizers as released.

Phases are shares of the training, so they follow its length: the backbone rests for the first ninth (20,000 of 180,000
released steps), the student gets no signal from the term for the first sixth (30,000). A backbone that learns from
scratch should not rest: optimizer = dict(student=dict(parameter_groups=None)). The rate is meant for 16 images a step and
follows them. Source: arXiv:2109.11496, megvii-research/LGD.
"""

_sgd = dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001, grad_clip=dict(max_value=1.0))

distill = dict(
    teacher=dict(type="LabelGuidedTeacher"),
    terms=[dict(type="InstructiveMSE", schedule=dict(start=1 / 6))],
)
optimizer = dict(
    _cover_=True,
    student=dict(
        match="*", but_not="distill.teacher.*", parameter_groups=[dict(match="backbone.*", start=1 / 9)], **_sgd
    ),
    teacher=dict(match="distill.teacher.*", **_sgd),
)
auto_scale_lr = dict(base_batch_size=16)
