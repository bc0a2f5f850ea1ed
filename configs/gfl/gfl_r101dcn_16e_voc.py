"""GFL R-101-DCN, 16 epochs of three passes, VOC 07+12: the teacher of the VOC table.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r101dcn_16e_voc.py --task=train
Published: no score is published for it.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/voc0712.py",
    "../_base_/schedules/schedule_voc.py",
]

model = dict(
    backbone=dict(
        depth=101, pretrained="torchvision://resnet101", dcn=dict(deform_groups=1),
        stage_with_dcn=[False, True, True, True],
    )
)
scheduler = dict(milestones=[12])
max_epoch = 16
