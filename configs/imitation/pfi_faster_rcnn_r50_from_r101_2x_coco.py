"""Rank mimicking and prediction-guided imitation (PFI) on the proposals of Faster R-CNN: R-50 from R-101, 2x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/pfi_faster_rcnn_r50_from_r101_2x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the method was published for one-stage detectors; here it reads the objectness of the anchors, with the weights of
RetinaNet.
"""

_base_ = "../faster_rcnn/faster_rcnn_r50_2x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/faster_rcnn/faster_rcnn_r101_2x_coco.py", checkpoint="weights/faster_rcnn_r101_2x_coco.pth"
    ),
    terms=[
        dict(type="RankMimicking", weight=4.0),
        dict(type="PFI", weight=1.5),
    ],
)
published = None  # of the plain detector
