"""CrossKD on ATSS: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/crosskd/crosskd_atss_r50_from_r101_1x_coco.py --task=train
Published: val AP 41.8 (README of jbwang1997/CrossKD).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released run has 8 images per GPU and a learning rate that follows the images of a step; here 16
images at the rate they stand for.
"""

_base_ = "../atss/atss_r50_1x_coco.py"

distill = dict(
    teacher=dict(config="configs/atss/atss_r101_1x_coco.py", checkpoint="weights/atss_r101_1x_coco.pth"),
    terms=[
        dict(type="CrossKD", depth=3, cls_weight=1.0, box_weight=1.0, centerness_weight=1.0),
    ],
)
published = dict(row="crosskd-atss-r50-from-r101-1x")
