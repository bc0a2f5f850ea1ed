"""RetinaNet R-101-DCNv2, 2x, short side 640 to 800, COCO, in detectron2's conventions:
the student of LGD without its teacher.

Command: python tools/run_net.py --config-file=configs/retinanet/retinanet_r101_dcnv2_detectron2_ms_2x_coco.py --task=train
Published: val AP 43.1 (arXiv 2109.11496, table on the LGD poster).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/retinanet_r50_detectron2_fpn.py",
    "../_base_/datasets/coco_detectron2_multiscale.py",
    "../_base_/schedules/detectron2_2x.py",
]

model = dict(
    backbone=dict(
        depth=101, pretrained="detectron2://R-101", dcn=dict(type="DCNv2", deform_groups=1),
        stage_with_dcn=(False, True, True, True),
    )
)
published = dict(row="lgd-paper-retinanet-r101dcnv2-ms-2x-baseline")
