"""FBKD on RetinaNet: R-50 from R-101, 2x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/fbkd_retinanet_r50_from_r101_2x_coco.py --task=train
Published: val AP 39.3, AP50 58.3, AP75 42.3 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
Differs: schedule and weights of the published row are not printed; here the baselines' schedule and
the one-stage weights, which are meant for 2 images per GPU.
"""

_base_ = "../retinanet/retinanet_r50_2x_coco.py"

distill = dict(
    teacher=dict(config="configs/retinanet/retinanet_r101_2x_coco.py", checkpoint="weights/retinanet_r101_2x_coco.pth"),
    terms=[
        dict(
            type="FBKD", attention_weight=4.2e-4, pooling_weight=2.4e-2, non_local_weight=4.2e-4, temperature=0.1,
            images_per_norm=2,
        ),
    ],
)
published = dict(row="gk-fbkd-retinanet-r50-from-r101")
