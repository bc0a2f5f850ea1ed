"""Config files in mmDetection's language, 2.x and 3.x, of the rows that jld's own configs are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

RESNET = {
    "type": "ResNet", "num_stages": 4, "out_indices": (0, 1, 2, 3), "frozen_stages": 1, "norm_eval": True,
    "norm_cfg": {"type": "BN", "requires_grad": True}, "style": "pytorch",
}  # fmt: skip
FPN = {"type": "FPN", "in_channels": [256, 512, 1024, 2048], "out_channels": 256, "num_outs": 5}
TOWERS = {"num_classes": 80, "in_channels": 256, "feat_channels": 256, "stacked_convs": 4}
FOCAL = {"type": "FocalLoss", "use_sigmoid": True, "gamma": 2.0, "alpha": 0.25, "loss_weight": 1.0}
BINARY = {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 1.0}
IDLE = {"allowed_border": -1, "pos_weight": -1, "debug": False}


def coder(*stds: float) -> dict[str, Any]:
    return {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": list(stds)}


def kept(iou: float) -> dict[str, Any]:
    nms = {"type": "nms", "iou_threshold": iou}
    return {"nms_pre": 1000, "min_bbox_size": 0, "score_thr": 0.05, "nms": nms, "max_per_img": 100}


def anchors(**keys: Any) -> dict[str, Any]:
    return {"type": "AnchorGenerator", "strides": [8, 16, 32, 64, 128], **keys}


def matched(positive: float, negative: float, least: float, **keys: Any) -> dict[str, Any]:
    thresholds = {"pos_iou_thr": positive, "neg_iou_thr": negative, "min_pos_iou": least}
    return {"type": "MaxIoUAssigner", **thresholds, "ignore_iof_thr": -1, **keys}


def drawn(num: int, share: float, truths: bool) -> dict[str, Any]:
    common = {"type": "RandomSampler", "neg_pos_ub": -1, "add_gt_as_proposals": truths}
    return {**common, "num": num, "pos_fraction": share}


def extractor(size: int) -> dict[str, Any]:
    layer = {"type": "RoIAlign", "output_size": size, "sampling_ratio": 0}
    common = {"type": "SingleRoIExtractor", "out_channels": 256, "featmap_strides": [4, 8, 16, 32]}
    return {**common, "roi_layer": layer}


ATSS = {"assigner": {"type": "ATSSAssigner", "topk": 9}, **IDLE}
ONE_ANCHOR = {"ratios": [1.0], "octave_base_scale": 8, "scales_per_octave": 1}
PROPOSALS = {
    "nms_pre": 2000,
    "max_per_img": 1000,
    "nms": {"type": "nms", "iou_threshold": 0.7},
    "min_bbox_size": 0,
}
# {detector: (jld's config of the row, pretrained, the model beside backbone and neck, changes of FPN)}
DENSE: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "GFL": (
        "gfl_r50_1x_coco_batch16",
        "torchvision://resnet50",
        {
            "bbox_head": {
                "type": "GFLHead",
                **TOWERS,
                "reg_max": 16,
                "anchor_generator": anchors(**ONE_ANCHOR),
                "loss_cls": {
                    "type": "QualityFocalLoss",
                    "use_sigmoid": True,
                    "beta": 2.0,
                    "loss_weight": 1.0,
                },
                "loss_dfl": {"type": "DistributionFocalLoss", "loss_weight": 0.25},
                "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0},
            },
            "train_cfg": ATSS,
            "test_cfg": kept(0.6),
        },
        {"start_level": 1, "add_extra_convs": "on_output"},
    ),
    "ATSS": (
        "atss_r50_1x_coco",
        "torchvision://resnet50",
        {
            "bbox_head": {
                "type": "ATSSHead",
                **TOWERS,
                "anchor_generator": anchors(**ONE_ANCHOR),
                "loss_cls": FOCAL,
                "bbox_coder": coder(0.1, 0.1, 0.2, 0.2),
                "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0},
                "loss_centerness": BINARY,
            },
            "train_cfg": ATSS,
            "test_cfg": kept(0.6),
        },
        {"start_level": 1, "add_extra_convs": "on_output"},
    ),
    "RetinaNet": (
        "retinanet_r50_1x_coco",
        "torchvision://resnet50",
        {
            "bbox_head": {
                "type": "RetinaHead",
                **TOWERS,
                "bbox_coder": coder(1.0, 1.0, 1.0, 1.0),
                "loss_cls": FOCAL,
                "anchor_generator": anchors(octave_base_scale=4, scales_per_octave=3, ratios=[0.5, 1.0, 2.0]),
                "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
            },
            "train_cfg": {"assigner": matched(0.5, 0.4, 0), **IDLE},
            "test_cfg": kept(0.5),
        },
        {"start_level": 1, "add_extra_convs": "on_input"},
    ),
    "FCOS": (
        "fcos_r50_1x_coco",
        "open-mmlab://detectron/resnet50_caffe",
        {
            "bbox_head": {
                "type": "FCOSHead",
                **TOWERS,
                "strides": [8, 16, 32, 64, 128],
                "loss_cls": FOCAL,
                "loss_bbox": {"type": "IoULoss", "loss_weight": 1.0},
                "loss_centerness": BINARY,
            },
            "test_cfg": kept(0.5),
        },
        {
            "start_level": 1,
            "add_extra_convs": True,
            "extra_convs_on_inputs": False,
            "relu_before_extra_convs": True,
        },
    ),
}
TWO_STAGE = {
    "rpn_head": {
        "type": "RPNHead",
        "in_channels": 256,
        "feat_channels": 256,
        "bbox_coder": coder(1.0, 1.0, 1.0, 1.0),
        "anchor_generator": {
            "type": "AnchorGenerator",
            "scales": [8],
            "ratios": [0.5, 1.0, 2.0],
            "strides": [4, 8, 16, 32, 64],
        },
        "loss_cls": BINARY,
        "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
    },
    "roi_head": {
        "type": "StandardRoIHead",
        "bbox_roi_extractor": extractor(7),
        "bbox_head": {
            "type": "Shared2FCBBoxHead",
            "in_channels": 256,
            "fc_out_channels": 1024,
            "roi_feat_size": 7,
            "num_classes": 80,
            "bbox_coder": coder(0.1, 0.1, 0.2, 0.2),
            "reg_class_agnostic": False,
            "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
            "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
        },
        "mask_roi_extractor": extractor(14),
        "mask_head": {
            "type": "FCNMaskHead",
            "num_convs": 4,
            "in_channels": 256,
            "conv_out_channels": 256,
            "num_classes": 80,
            "loss_mask": {"type": "CrossEntropyLoss", "use_mask": True, "loss_weight": 1.0},
        },
    },
    "train_cfg": {
        "rpn": {
            "assigner": matched(0.7, 0.3, 0.3, match_low_quality=True),
            "sampler": drawn(256, 0.5, False),
            **IDLE,
        },
        "rpn_proposal": PROPOSALS,
        "rcnn": {
            "assigner": matched(0.5, 0.5, 0.5, match_low_quality=True),
            "sampler": drawn(512, 0.25, True),
            "mask_size": 28,
            "pos_weight": -1,
            "debug": False,
        },
    },
    "test_cfg": {
        "rpn": {**PROPOSALS, "nms_pre": 1000},
        "rcnn": {
            "score_thr": 0.05,
            "nms": {"type": "nms", "iou_threshold": 0.5},
            "max_per_img": 100,
            "mask_thr_binary": 0.5,
        },
    },
}
DETECTORS = {**DENSE, "MaskRCNN": ("mask_rcnn_r50_1x_coco", "torchvision://resnet50", TWO_STAGE, {})}
RGB = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
BGR = {"mean": [102.9801, 115.9465, 122.7717], "std": [1.0, 1.0, 1.0]}
RUNTIME_2 = """
checkpoint_config = dict(interval=1)
log_config = dict(interval=50, hooks=[dict(type='TextLoggerHook')])
dist_params = dict(backend='nccl')
workflow = [('train', 1)]
load_from = None
resume_from = None
"""
DATA_2 = """
img_norm_cfg = {norm!r}
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', img_scale=(1333, 800), keep_ratio=True),
    dict(type='RandomFlip', flip_ratio=0.5),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='Pad', size_divisor=32),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels']),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=(1333, 800), flip=False, transforms=[
        dict(type='Resize', keep_ratio=True),
        dict(type='RandomFlip'),
        dict(type='Normalize', **img_norm_cfg),
        dict(type='Pad', size_divisor=32),
        dict(type='ImageToTensor', keys=['img']),
        dict(type='Collect', keys=['img']),
    ]),
]
_coco = 'data/coco/annotations/instances_'
data = dict(
    samples_per_gpu=2,
    workers_per_gpu=2,
    train=dict(type='CocoDataset', ann_file=_coco + 'train2017.json', img_prefix='data/coco/train2017/',
               pipeline=train_pipeline),
    val=dict(type='CocoDataset', ann_file=_coco + 'val2017.json', img_prefix='data/coco/val2017/',
             pipeline=test_pipeline),
    test=dict(type='CocoDataset', ann_file=_coco + 'val2017.json', img_prefix='data/coco/val2017/',
              pipeline=test_pipeline))
evaluation = dict(interval=1, metric='bbox')
"""
SCHEDULE_2 = """
optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001)
optimizer_config = dict(grad_clip=None)
lr_config = dict(policy='step', warmup='linear', warmup_iters=500, warmup_ratio=0.001, step=[8, 11])
runner = dict(type='EpochBasedRunner', max_epochs=12)
"""
FCOS_2 = """
optimizer = dict(lr=0.01, paramwise_cfg=dict(bias_lr_mult=2., bias_decay_mult=0.))
optimizer_config = dict(_delete_=True, grad_clip=dict(max_norm=35, norm_type=2))
lr_config = dict(warmup='constant', warmup_ratio=1.0 / 3)
"""
TEXT_3 = """
_base_ = ['base.py']
default_scope = 'mmdet'
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args={{_base_.backend_args}}),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=[(1333, 480), (1333, 800)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.01))
max_epochs = 24
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[16, 22], gamma=0.1),
]
train_cfg = dict(max_epochs=max_epochs)
"""
BASE_3 = """
backend_args = None
_test = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=2, num_workers=2, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(type='CocoDataset', data_root='data/coco/', ann_file='annotations/instances_train2017.json',
                 data_prefix=dict(img='train2017/'), filter_cfg=dict(filter_empty_gt=True, min_size=32),
                 pipeline=[], backend_args=backend_args))
val_dataloader = dict(
    batch_size=1, num_workers=2, persistent_workers=True, drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CocoDataset', data_root='data/coco/', ann_file='annotations/instances_val2017.json',
                 data_prefix=dict(img='val2017/'), test_mode=True, pipeline=_test, backend_args=backend_args))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file='data/coco/annotations/instances_val2017.json')
test_evaluator = val_evaluator
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001))
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50), checkpoint=dict(type='CheckpointHook', interval=1))
load_from = None
resume = False
"""


def write_2x(folder: Path, kind: str, tail: str = "") -> Path:
    """A config of `kind` (see DETECTORS, or FasterRCNN) with its bases, in the language of 2.x."""
    _, pretrained, parts, neck = DETECTORS["MaskRCNN" if kind == "FasterRCNN" else kind]
    backbone = {**RESNET, "depth": 50}
    if kind == "FCOS":
        backbone |= {"style": "caffe", "norm_cfg": {"type": "BN", "requires_grad": False}}
    if kind == "FasterRCNN":
        roi_head = {key: value for key, value in parts["roi_head"].items() if not key.startswith("mask")}
        rcnn = {key: value for key, value in parts["train_cfg"]["rcnn"].items() if key != "mask_size"}
        parts = {**parts, "roi_head": roi_head, "train_cfg": {**parts["train_cfg"], "rcnn": rcnn}}
    model = {"type": kind, "pretrained": pretrained, "backbone": backbone, "neck": {**FPN, **neck}, **parts}
    norm = {**BGR, "to_rgb": False} if kind == "FCOS" else {**RGB, "to_rgb": True}
    (folder / "bases.py").write_text(DATA_2.format(norm=norm) + SCHEDULE_2 + RUNTIME_2)
    own = FCOS_2 if kind == "FCOS" else "" if "RCNN" in kind else "optimizer = dict(lr=0.01)\n"
    path = folder / f"{kind.lower()}.py"
    path.write_text(f"_base_ = ['bases.py']\nmodel = {model!r}\n{own}{tail}")
    return path


def write_3x(folder: Path, tail: str = "") -> Path:
    """GFL R-50 with several sizes over 24 epochs, in the language of 3.x."""
    _, pretrained, parts, neck = DETECTORS["GFL"]
    before = {"type": "DetDataPreprocessor", **RGB, "bgr_to_rgb": True, "pad_size_divisor": 32}
    init = {"type": "Pretrained", "checkpoint": pretrained}
    head = dict(parts["bbox_head"])
    head["prior_generator"] = head.pop("anchor_generator")
    model = {
        "type": "GFL", "data_preprocessor": before, "backbone": {**RESNET, "depth": 50, "init_cfg": init},
        "neck": {**FPN, **neck}, **parts, "bbox_head": head,
    }  # fmt: skip
    (folder / "base.py").write_text(BASE_3)
    path = folder / "gfl_r50_fpn_ms-2x_coco.py"
    path.write_text(TEXT_3 + f"model = {model!r}\n{tail}")
    return path
