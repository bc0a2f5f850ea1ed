"""RetinaNet with box distributions, R-101, 2x, multi-scale 480-800, COCO: an LD teacher (HikariTJU/LD,
retina_gfl_r101_2x).

Command: python tools/run_net.py --config-file=configs/retinanet/retinanet_dist_r101_ms_2x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/retinanet_dist_r50_fpn.py",
    "../_base_/datasets/coco_multiscale.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(
    backbone=dict(depth=101, pretrained="torchvision://resnet101"), bbox_head=dict(nms=dict(iou_threshold=0.5))
)
