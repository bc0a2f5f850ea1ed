"""GFL X-101-32x4d-DCN, 1x, COCO: teacher and baseline of the self-LD row.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_x101_32x4d_dcn_1x_coco.py --task=train
Published: val AP 46.9, AP50 65.4, AP75 51.1 (README table of HikariTJU/LD; mini-batch 4).
Measured with jld: not measured. Memory, time: not measured.
Differs: box loss is GIoU, see gfl_r50_1x_coco.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]

model = dict(
    backbone=dict(
        _cover_=True, type="ResNeXt", depth=101, groups=32, base_width=4, frozen_stages=1, norm_eval=True,
        dcn=dict(deform_groups=1), stage_with_dcn=[False, False, True, True],
        pretrained="open-mmlab://resnext101_32x4d",
    )
)
dataset = dict(train=dict(batch_size=4))
optimizer = dict(lr=0.0025)  # 4 images a step: 4/16 of 0.01
published = dict(row="ld-coco-self-x101-32x4d-dcn-baseline")
