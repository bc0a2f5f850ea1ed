"""CrossKD and PKD on RetinaNet: R-50 from R-101, 2x, COCO.

Command: python tools/run_net.py --config-file=configs/crosskd/crosskdpkd_retinanet_r50_from_r101_2x_coco.py --task=train
Published: val AP 39.8 (README of jbwang1997/CrossKD).
Measured with jld: not measured. Memory, time: not measured.
Differs: the extra levels of the released student are made of the neck's outputs (add_extra_convs="on_output"),
here of the backbone's last map, as the baseline's and the teacher's.
"""

_base_ = "../retinanet/retinanet_r50_2x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/retinanet/retinanet_r101_2x_coco.py", checkpoint="weights/retinanet_r101_2x_coco.pth"
    ),
    terms=[
        dict(type="CrossKD", depth=3, cls_weight=1.0, box_weight=1.0, avg="own_positives"),
        dict(type="PKD", weight=2.0),
    ],
)
published = dict(row="crosskd-pkd-retinanet-r50-from-r101-2x")
