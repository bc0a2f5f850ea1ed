"""GFLv2 with ResNet-50 and FPN, as arXiv:2011.12885; the extra class channel is that of the released weights."""

_base_ = "gfl_r50_fpn.py"

model = dict(
    type="GFLv2",
    bbox_head=dict(
        type="GFLv2Head", reg_topk=4, add_mean=True, reg_channels=64, background_channel=True,
        loss_cls=dict(use_sigmoid=False),
    ),
)
