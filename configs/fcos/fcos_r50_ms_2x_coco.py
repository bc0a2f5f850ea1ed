"""FCOS R-50, 2x, short side 640 or 800, COCO: the student of CrossKD's FCOS rows, mmDetection's
fcos_r50_caffe_fpn_gn-head_ms-640-800-2x.

Command: python tools/run_net.py --config-file=configs/fcos/fcos_r50_ms_2x_coco.py --task=train
Published: val AP 38.5 (README of jbwang1997/CrossKD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/fcos_r50_caffe_fpn.py",
    "../_base_/datasets/coco_detectron.py",
    "../_base_/schedules/fcos_1x.py",
]

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
optimizer = dict(grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(warmup="constant", milestones=[16, 22])
max_epoch = 24
published = dict(row="crosskd-fcos-r50-ms-2x")
