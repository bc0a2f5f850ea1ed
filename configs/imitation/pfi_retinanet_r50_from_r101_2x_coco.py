"""Rank mimicking and prediction-guided imitation (PFI) on RetinaNet: R-50 from R-101, 2x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/pfi_retinanet_r50_from_r101_2x_coco.py --task=train
Published: val AP 39.6 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
Differs: schedule and weights of the published row are not printed; here the 2x schedule and the
weights of open-mmlab/mmrazor's development files.
"""

_base_ = "../retinanet/retinanet_r50_2x_coco.py"

distill = dict(
    teacher=dict(config="configs/retinanet/retinanet_r101_2x_coco.py", checkpoint="weights/retinanet_r101_2x_coco.pth"),
    terms=[
        dict(type="RankMimicking", weight=4.0),
        dict(type="PFI", weight=1.5),
    ],
)
published = dict(row="gk-pfi-retinanet-r50-from-r101")
