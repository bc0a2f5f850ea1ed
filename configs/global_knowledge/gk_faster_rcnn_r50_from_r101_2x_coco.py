"""Global knowledge on Faster R-CNN: R-50 from R-101, 24 more epochs, COCO.

Command: python tools/run_net.py --config-file=configs/global_knowledge/gk_faster_rcnn_r50_from_r101_2x_coco.py --task=train
Published: val AP 40.6, AP50 61.0, AP75 44.0 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released config leaves the global term out by a wrong switch (gkrobust_*.py does as it runs); prototypes
are chosen in double precision. The student starts as a trained detector of 38.4 AP: compare with
faster_rcnn_r50_warm_2x_coco.py, not with 38.4.
"""

_base_ = ["../faster_rcnn/faster_rcnn_r50_2x_coco.py", "../_base_/distill/global_knowledge_faster_rcnn.py"]

published = dict(row="gk-faster-rcnn-r50-from-r101")
