"""Faster R-CNN X-101-DCNv2 (32x8d), 2x, short side 640 to 800, COCO, in detectron2's conventions:
the student of LGD without its teacher.

Command: python tools/run_net.py --config-file=configs/faster_rcnn/faster_rcnn_x101_32x8d_dcnv2_detectron2_ms_2x_coco.py --task=train
Published: val AP 45.1 (arXiv 2109.11496, table on the LGD poster).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/faster_rcnn_r50_detectron2_fpn.py",
    "../_base_/datasets/coco_detectron2_multiscale_x101.py",
    "../_base_/schedules/detectron2_two_stage_2x.py",
]

model = dict(
    backbone=dict(
        depth=101, groups=32, base_width=8, style="pytorch", pretrained="detectron2://X-101-32x8d",
        dcn=dict(type="DCNv2", deform_groups=1), stage_with_dcn=(False, True, True, True),
    )
)
published = dict(row="lgd-paper-faster-rcnn-x101-dcnv2-ms-2x-baseline")
