"""CWD on the class logits of GFL: R-50 from R-101, 1x, COCO (open-mmlab/mmrazor 0.x).

Command: python tools/run_net.py --config-file=configs/cwd/cwd_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 41.9 (README of open-mmlab/mmrazor, branch 0.x).
Measured with jld: not measured. Memory, time: not measured.
Differs: the file of this name in the main branch of mmrazor reads features instead; its figure is that of the
0.x file, followed here.
"""

_base_ = "../gfl/gfl_r50_1x_coco_batch16.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(type="CWD", reads="cls_logits", temperature=1.0, weight=5.0),
    ],
)
published = dict(row="mmrazor-cwd-gfl-r50-from-r101-1x")
