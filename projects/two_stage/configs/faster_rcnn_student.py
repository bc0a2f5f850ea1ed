"""BCCD, plain student: Faster R-CNN R-18 of half width, from scratch, without a teacher.

Command: python tools/run_net.py --config-file=projects/two_stage/configs/faster_rcnn_student.py --task=train
Published: none. Measured with jld: not measured. Expects the BCCD folder (VOC layout)
at data/bccd.
"""

_base_ = [
    "../../../configs/_base_/models/faster_rcnn_r50_fpn.py",
    "_base_/small.py",
    "_base_/bccd.py",
]

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=3),
    ),
)
