"""Config files as a user of JDet writes them, put together for the tests."""

from __future__ import annotations

from pathlib import Path

TEXT = """
teacher_ckpt = "weights/teacher.pkl"
some_note = "a helper that JDet passes over"
_resize = dict(type="RotatedResize", min_size=1024, max_size=1024)
_tail = [
    dict(type="Pad", size_divisor=32),
    dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_bgr=False),
]
model = dict(
    type="{detector}",{teacher}
    backbone=dict(
        type="Resnet{depth}", frozen_stages=1, pretrained=True,
        return_stages=["layer1", "layer2", "layer3", "layer4"],
    ),
    neck=dict(
        type="FPN", in_channels={channels}, out_channels=256, start_level=1,
        add_extra_convs="on_input", num_outs=5,
    ),
    bbox_head=dict(
        type="{head}", num_classes=16, in_channels=256, feat_channels=256, stacked_convs=4,
        octave_base_scale=4, scales_per_octave=3, anchor_ratios=[1.0, 0.5, 2.0],
        anchor_strides=[8, 16, 32, 64, 128], target_means=[0.0] * 5, target_stds=[1.0] * 5,
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox={loss_bbox},{extra}
        test_cfg=dict(
            nms_pre=2000, min_bbox_size=0, score_thr=0.05, max_per_img=2000,
            nms=dict(type="nms_rotated", iou_thr=0.1),
        ),
        train_cfg=dict(
            assigner=dict(
                type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1,
                iou_calculator=dict(type="{overlaps}"),
            ),
            bbox_coder=dict(
                type="DeltaXYWHABBoxCoder", target_means=(0.0,) * 5, target_stds=(1.0,) * 5, clip_border=True
            ),
            allowed_border=-1, pos_weight=-1, debug=False, reg_decoded_bbox={decoded},
        ),
    ),
)
dataset = dict(
    train=dict(
        type="DOTADataset", dataset_dir="data/train_600_150_1.0", batch_size=2, num_workers=4, shuffle=True,
        filter_empty_gt=False,
        transforms=[
            _resize,
            dict(type="RotatedRandomFlip", prob=0.5, direction="horizontal"),
            dict(type="RotatedRandomFlip", prob=0.5, direction="vertical"),
            *_tail,
        ],
    ),
    val=dict(
        type="DOTADataset", dataset_dir="data/val_600_150_1.0", batch_size=2, num_workers=4, shuffle=False,
        transforms=[_resize, *_tail],
    ),
    test=dict(
        type="ImageDataset", images_dir="data/val_600_150_1.0/images", num_workers=4, batch_size=1,
        transforms=[_resize, *_tail],
    ),
)
optimizer = dict(
    type="SGD", lr=0.01 / 4.0, momentum=0.9, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2)
)
scheduler = dict(type="StepLR", warmup="linear", warmup_iters=500, warmup_ratio=1.0 / 3, milestones=[7, 10])
logger = dict(type="RunLogger")
max_epoch = 12
eval_interval = 1
checkpoint_interval = 1
log_interval = 50
"""
PLAIN = {
    "detector": "RotatedRetinaNet",
    "teacher": "",
    "depth": 18,
    "channels": [64, 128, 256, 512],
    "head": "RotatedRetinaHead",
    "loss_bbox": 'dict(type="L1Loss", loss_weight=1.0)',
    "extra": "",
    "overlaps": "BboxOverlaps2D_rotated",
    "decoded": False,
}
DISTRIBUTION = {**PLAIN, "head": "RotatedRetinaDistributionHead"}
LD = {
    **PLAIN,
    "detector": "KnowledgeDistillationSingleStageDetector",
    "teacher": '\n    teacher_config="configs/teacher.py", teacher_ckpt=teacher_ckpt,',
    "head": "RotatedRetinaLocalizationDistillationHead",
    "extra": """
        loss_ld=dict(type="KnowledgeDistillationKLDivLoss", loss_weight=10, T=10),
        loss_kd=dict(type="KnowledgeDistillationKLDivLoss", loss_weight=10, T=2),
        loss_im=dict(type="IMLoss", loss_weight=0), imitation_method="finegrained", reg_max=8,""",
}
GWD = {
    **PLAIN,
    "depth": 50,
    "channels": [256, 512, 1024, 2048],
    "loss_bbox": 'dict(type="GDLoss", loss_type="gwd", loss_weight=5.0)',
    "overlaps": "FakeBboxOverlaps2D_rotated",
    "decoded": True,
}
KLD = {**GWD, "loss_bbox": 'dict(type="GDLoss_v1", loss_type="kld", fun="log1p", tau=1.0, loss_weight=5.5)'}
KFIOU = {
    **GWD,
    "head": "KFIoURRetinaHead",
    "loss_bbox": 'dict(type="KFLoss", loss_weight=5.0)',
    "decoded": False,
}
KINDS = {"plain": PLAIN, "distribution": DISTRIBUTION, "ld": LD, "gwd": GWD, "kld": KLD, "kfiou": KFIOU}


def write_jdet_config(folder: Path, kind: str, *, name: str | None = None, tail: str = "") -> Path:
    """A config file of this kind; `tail` lines follow it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"{kind}.py")
    path.write_text(TEXT.format(**KINDS[kind]) + tail)
    return path
