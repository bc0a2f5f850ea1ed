"""PKD on Faster R-CNN: R-50 from R-101, 2x, COCO (open-mmlab/mmrazor).

Command: python tools/run_net.py --config-file=configs/pkd/pkd_faster_rcnn_r50_from_r101_2x_coco.py --task=train
Published: val AP 40.3 (open-mmlab/mmrazor, PKD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = "../faster_rcnn/faster_rcnn_r50_2x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/faster_rcnn/faster_rcnn_r101_2x_coco.py", checkpoint="weights/faster_rcnn_r101_2x_coco.pth"
    ),
    terms=[
        dict(type="PKD", weight=6.0, levels=[0, 1, 2, 3]),
    ],
)
published = dict(row="mmrazor-pkd-faster-rcnn-r50-from-r101-2x")
