"""CrossKD and PKD on Faster R-CNN: R-18 from R-50, 1x, COCO (jbwang1997/CrossKD, branch faster-rcnn).

Command: python tools/run_net.py --config-file=configs/crosskd/crosskdpkd_faster_rcnn_r18_from_r50_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: nothing known; the branch prints no score and no schedule, so the student's is 1x.
"""

_base_ = "../faster_rcnn/faster_rcnn_r18_1x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/faster_rcnn/faster_rcnn_r50_1x_coco.py", checkpoint="weights/faster_rcnn_r50_1x_coco.pth"
    ),
    terms=[
        dict(type="CrossRoIKD", cls_weight=0.5, box_weight=1.0, temperature=3.0),
        dict(type="PKD", weight=6.0),
    ],
)
