"""Thermal drone images, plain student: rotated RetinaNet R-18 with box distributions, from scratch.

Command: python tools/run_net.py --config-file=projects/rotated_ld/configs/hit_uav_student.py --task=train
Published: none. Measured with jld: see projects/rotated_ld/README.md. The model is that of the published row but for
its width and its smaller anchors: cars are 35 to 48 px long and 17 to 23 px wide. It learns from 192x192 crops around
cars, scaled, turned, mirrored, brightened and inverted, since the flights to be scored on show other places, directions
and combinations of height and time of day; scored are whole images of 480x384. Expects HIT-UAV in DOTA's layout at data/hit_uav_vehicles.
"""

_base_ = [
    "../../../configs/_base_/models/rotated_retinanet_r18_fpn.py",
    "../../../configs/_base_/models/rotated_distribution.py",
]

_normalize = dict(type="Normalize", mean=[116.0, 116.0, 116.0], std=[60.0, 60.0, 60.0])
_cars = dict(type="DOTADataset", classes=["car"], angle_version="oc", patch_style="whole", num_workers=1)
_still = [_normalize, dict(type="Pad", size_divisor=32)]

model = dict(
    backbone=dict(base_channels=16, frozen_stages=-1, norm_eval=False, pretrained=None),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=48, add_extra_convs=False, num_outs=3),
    bbox_head=dict(
        num_classes=1, in_channels=48, feat_channels=48, stacked_convs=2,
        priors=dict(strides=[8, 16, 32], octave_base_scale=3, scales_per_octave=2),
        assigner=dict(ignore_iof_thr=0.5),  # cars marked difficult are neither objects nor background
    ),
)
dataset = dict(
    train=dict(
        **_cars, dataset_dir="data/hit_uav_vehicles/train", batch_size=8, shuffle=True,
        transforms=[
            dict(type="RotatedResize", min_size=[230, 440], max_size=[600, 600], multiscale_mode="range"),
            dict(type="RotatedRandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            dict(type="PolyRandomRotate", rotate_ratio=0.5),
            dict(type="RotatedRandomCrop", crop_size=[192, 192]),
            dict(type="ColorJitter", brightness=0.4, contrast=0.4),
            dict(type="RandomInvert", prob=0.3),
            _normalize,
            dict(type="Pad", size=192),
        ],
    ),
    val=dict(
        **_cars, dataset_dir="data/hit_uav_vehicles/test", batch_size=4, filter_empty_gt=False, transforms=_still,
        # Of 11 points a single good detection is worth 9 percent at strict thresholds, which drowns what is compared.
        evaluator=dict(type="DotaEvaluator", metric="area"),
    ),
    test=dict(**_cars, dataset_dir="data/hit_uav_vehicles/test", batch_size=4, filter_empty_gt=False, transforms=_still),
)
optimizer = dict(type="AdamW", lr=0.001, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(type="StepLR", milestones=[7, 9], gamma=0.3, warmup="linear", warmup_iters=50, warmup_ratio=0.1)
logger = dict(type="RunLogger", loggers=["TextLogger", "TensorboardLogger"])
max_epoch = 10
eval_interval = 10
checkpoint_interval = 5
log_interval = 50
