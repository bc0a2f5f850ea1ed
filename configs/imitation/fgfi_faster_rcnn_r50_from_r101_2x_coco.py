"""FGFI on Faster R-CNN: R-50 from R-101, 2x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/fgfi_faster_rcnn_r50_from_r101_2x_coco.py --task=train
Published: val AP 39.3, AP50 59.8, AP75 42.9 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
Differs: schedule and weights of the published row are not printed; here the baselines' schedule and
the weight of ggjy/DeFeat.pytorch (VOC).
"""

_base_ = "../faster_rcnn/faster_rcnn_r50_2x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/faster_rcnn/faster_rcnn_r101_2x_coco.py", checkpoint="weights/faster_rcnn_r101_2x_coco.pth"
    ),
    terms=[
        dict(type="FGFI", weight=3.0, schedule=dict(start=400)),
    ],
)
published = dict(row="gk-fgfi-faster-rcnn-r50-from-r101")
