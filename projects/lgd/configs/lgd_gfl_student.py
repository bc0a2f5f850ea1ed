"""LGD on the student of logit_vs_feature: a narrow GFL R-18 on the drawn dataset that learns from scratch.

Command: python tools/run_net.py --config-file=projects/lgd/configs/lgd_gfl_student.py --task=train
(python projects/lgd/run.py trains this and its plain twin).
Published: none. Measured with jld: not measured. Schedule, rate and clipping are the plain student's; the backbone does
not rest at the beginning, because it has nothing to keep.
"""

_base_ = ["../../../configs/quick_start/gfl_student.py", "../../../configs/_base_/distill/lgd.py"]

_clip = dict(_cover_=True, max_norm=35, norm_type=2)

optimizer = dict(
    student=dict(lr=0.02, grad_clip=_clip, parameter_groups=None),
    teacher=dict(lr=0.02, grad_clip=_clip),
)
auto_scale_lr = None  # nor does the plain student's rate follow the images of a step
