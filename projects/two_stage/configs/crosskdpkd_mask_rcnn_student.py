"""Drawn scenes with masks, distilled student: the plain one plus CrossKD of the box head and PKD on the four levels that RoIs read.

Command: python tools/run_net.py --config-file=projects/two_stage/configs/crosskdpkd_mask_rcnn_student.py --task=train
Published: none. Measured with jld: see projects/two_stage/README.md.
"""

_base_ = "mask_rcnn_student.py"

distill = dict(
    teacher=dict(
        config="projects/two_stage/configs/mask_rcnn_teacher.py",
        checkpoint="work_dirs/two_stage/mask_rcnn/teacher/checkpoints/last.pkl",
    ),
    terms=[
        dict(type="CrossRoIKD", cls_weight=0.5, box_weight=1.0, temperature=3.0),
        dict(type="PKD", weight=0.5, levels=[0, 1, 2, 3]),
    ],
)
