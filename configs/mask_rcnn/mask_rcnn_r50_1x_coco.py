"""Mask R-CNN R-50, 1x, COCO, as mmDetection's mask_rcnn_r50_fpn_1x.

Command: python tools/run_net.py --config-file=configs/mask_rcnn/mask_rcnn_r50_1x_coco.py --task=train
Published: val AP 38.2, and 34.7 of the masks (mmDetection model zoo, Mask R-CNN).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r50_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/two_stage_1x.py",
]

published = dict(row="mmdet-mask-rcnn-r50-1x")
