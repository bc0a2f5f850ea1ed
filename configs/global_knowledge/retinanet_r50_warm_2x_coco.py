"""RetinaNet R-50, COCO: 24 more epochs for a trained detector, without distillation: the fair baseline.

Command: python tools/run_net.py --config-file=configs/global_knowledge/retinanet_r50_warm_2x_coco.py --task=train
Published: none; the row that global knowledge on RetinaNet has to be compared with.
Measured with jld: not measured. Memory, time: not measured.
Start and schedule are those of gk_retinanet_r50_from_r101_2x_coco.py, whose published gain is over 37.4, the
start itself.
"""

_base_ = [
    "../_base_/models/retinanet_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_2x.py",
]

pretrained_weights = "weights/retinanet_r50_2x_coco.pth"
