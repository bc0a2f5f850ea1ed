"""DeFeat on RetinaNet: R-50 from R-101, 2x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/defeat_retinanet_r50_from_r101_2x_coco.py --task=train
Published: val AP 39.3, AP50 58.2, AP75 42.1 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
Differs: schedule and weights of the published row are not printed; here the baselines' schedule and
the weights of the released VOC config; other code has 1 and 4 with the same masks.
"""

_base_ = "../retinanet/retinanet_r50_2x_coco.py"

distill = dict(
    teacher=dict(config="configs/retinanet/retinanet_r101_2x_coco.py", checkpoint="weights/retinanet_r101_2x_coco.pth"),
    terms=[
        dict(type="DeFeat", object_weight=3.0, background_weight=12.0),
    ],
)
published = dict(row="gk-defeat-retinanet-r50-from-r101")
