"""RetinaNet R-50, 1x, COCO, as mmDetection's retinanet_r50_fpn_1x.

Command: python tools/run_net.py --config-file=configs/retinanet/retinanet_r50_1x_coco.py --task=train
Published: val AP 36.5 (mmDetection model zoo, RetinaNet).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/retinanet_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]

published = dict(row="mmdet-retinanet-r50-1x")
