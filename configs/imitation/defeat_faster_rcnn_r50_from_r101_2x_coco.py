"""DeFeat on Faster R-CNN: R-50 from R-101, 2x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/defeat_faster_rcnn_r50_from_r101_2x_coco.py --task=train
Published: val AP 40.3, AP50 60.9, AP75 44.0 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
Differs: schedule and weights of the published row are not printed; here the baselines' schedule and
the weights of the released VOC config for the neck; its loss on the classes of proposals is left out.
"""

_base_ = "../faster_rcnn/faster_rcnn_r50_2x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/faster_rcnn/faster_rcnn_r101_2x_coco.py", checkpoint="weights/faster_rcnn_r101_2x_coco.pth"
    ),
    terms=[
        dict(type="DeFeat", object_weight=3.0, background_weight=12.0),
    ],
)
published = dict(row="gk-defeat-faster-rcnn-r50-from-r101")
