"""FCOS with box distributions, R-101, 2x, short side 640 or 800, COCO: an LD teacher (HikariTJU/LD,
fcos_gfl_r101_2x_center).

Command: python tools/run_net.py --config-file=configs/fcos/fcos_dist_r101_ms_2x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/fcos_dist_r50_caffe_fpn.py",
    "../_base_/datasets/coco_detectron.py",
    "../_base_/schedules/fcos_1x.py",
]

model = dict(backbone=dict(depth=101, pretrained="open-mmlab://detectron/resnet101_caffe"))
dataset = dict(
    train=dict(
        transforms=[
            dict(type="Resize", min_size=[640, 800], max_size=1333, multiscale_mode="value"),
            dict(type="RandomFlip", prob=0.5, direction="horizontal"),
            dict(type="Normalize", mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], to_rgb=False),
            dict(type="Pad", size_divisor=32),
        ]
    )
)
scheduler = dict(milestones=[16, 22])
max_epoch = 24
