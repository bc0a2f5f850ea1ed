"""RetinaNet X-101-64x4d, 1x, COCO: the teacher of the PKD, FGD and MGD rows, mmDetection's
retinanet_x101_64x4d_fpn_1x.

Command: python tools/run_net.py --config-file=configs/retinanet/retinanet_x101_64x4d_1x_coco.py --task=train
Published: val AP 41.0 (mmDetection model zoo, RetinaNet).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/retinanet_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]

model = dict(
    backbone=dict(
        _cover_=True, type="ResNeXt", depth=101, groups=64, base_width=4, frozen_stages=1, norm_eval=True,
        pretrained="open-mmlab://resnext101_64x4d",
    )
)
published = dict(row="mmdet-retinanet-x101-64x4d-1x")
