"""FCOS R-101, 1x, COCO, as mmDetection's fcos_r101_caffe_fpn_gn-head_1x.

Command: python tools/run_net.py --config-file=configs/fcos/fcos_r101_1x_coco.py --task=train
Published: val AP 39.1 (mmDetection model zoo, FCOS).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/fcos_r50_caffe_fpn.py",
    "../_base_/datasets/coco_detectron.py",
    "../_base_/schedules/fcos_1x.py",
]

model = dict(backbone=dict(depth=101, pretrained="open-mmlab://detectron/resnet101_caffe"))
optimizer = dict(grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(warmup="constant")
published = dict(row="mmdet-fcos-r101-1x")
