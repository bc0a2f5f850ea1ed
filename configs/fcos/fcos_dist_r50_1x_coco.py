"""FCOS with box distributions, R-50, 1x, COCO: the LD student without its teacher (HikariTJU/LD,
fcos_gfl_r50_center).

Command: python tools/run_net.py --config-file=configs/fcos/fcos_dist_r50_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/fcos_dist_r50_caffe_fpn.py",
    "../_base_/datasets/coco_detectron2.py",
    "../_base_/schedules/fcos_1x.py",
]
