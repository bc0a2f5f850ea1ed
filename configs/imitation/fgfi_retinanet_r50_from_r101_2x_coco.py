"""FGFI on RetinaNet: R-50 from R-101, 2x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/fgfi_retinanet_r50_from_r101_2x_coco.py --task=train
Published: val AP 38.6, AP50 58.7, AP75 41.3 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
Differs: schedule and weights of the published row are not printed; here the baselines' schedule and
the weight of ggjy/DeFeat.pytorch (VOC).
"""

_base_ = "../retinanet/retinanet_r50_2x_coco.py"

distill = dict(
    teacher=dict(config="configs/retinanet/retinanet_r101_2x_coco.py", checkpoint="weights/retinanet_r101_2x_coco.pth"),
    terms=[
        dict(type="FGFI", weight=3.0, schedule=dict(start=400)),
    ],
)
published = dict(row="gk-fgfi-retinanet-r50-from-r101")
