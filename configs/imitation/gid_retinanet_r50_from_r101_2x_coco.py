"""GID on RetinaNet: R-50 from R-101, 2x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/gid_retinanet_r50_from_r101_2x_coco.py --task=train
Published: val AP 39.1, AP50 59.0, AP75 42.3 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
Differs: schedule and weights of the published row are not printed; here the baselines' schedule and
the weights of daixinghome/Distill_GID_detectron2, with the paper's adapter, which that code does not train.
"""

_base_ = "../retinanet/retinanet_r50_2x_coco.py"

distill = dict(
    teacher=dict(config="configs/retinanet/retinanet_r101_2x_coco.py", checkpoint="weights/retinanet_r101_2x_coco.pth"),
    terms=[
        dict(
            type="GID", feature_weight=5e-4, relation_weight=40.0, cls_weight=0.1, box_weight=1.0, adapter=3,
        ),
    ],
)
published = dict(row="gk-gid-retinanet-r50-from-r101")
