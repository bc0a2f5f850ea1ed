"""CWD on the pyramid of Faster R-CNN: R-50 from R-101, 1x, COCO (open-mmlab/mmrazor, branch main).

Command: python tools/run_net.py --config-file=configs/cwd/cwd_faster_rcnn_r50_from_r101_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = "../faster_rcnn/faster_rcnn_r50_1x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/faster_rcnn/faster_rcnn_r101_1x_coco.py", checkpoint="weights/faster_rcnn_r101_1x_coco.pth"
    ),
    terms=[
        dict(type="CWD", reads="features", temperature=1.0, weight=10.0),
    ],
)
published = None  # of the plain detector
