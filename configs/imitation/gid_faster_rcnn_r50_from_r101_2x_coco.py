"""GID on Faster R-CNN: R-50 from R-101, 2x, COCO. Instances are chosen among proposals, both heads respond.

Command: python tools/run_net.py --config-file=configs/imitation/gid_faster_rcnn_r50_from_r101_2x_coco.py --task=train
Published: val AP 40.2, AP50 60.8, AP75 43.6 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
Differs: schedule and weights of the published row are not printed, and daixinghome/Distill_GID_detectron2 has no
two-stage form: here the baselines' schedule, that code's weights for RetinaNet, the paper's adapter, and ours are the
responses of both stages.
"""

_base_ = "../faster_rcnn/faster_rcnn_r50_2x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/faster_rcnn/faster_rcnn_r101_2x_coco.py", checkpoint="weights/faster_rcnn_r101_2x_coco.pth"
    ),
    terms=[
        dict(
            type="GID", feature_weight=5e-4, relation_weight=40.0, cls_weight=0.1, box_weight=1.0, adapter=3,
            responses=["rpn", "roi"],
        ),
    ],
)
published = dict(row="gk-gid-faster-rcnn-r50-from-r101")
