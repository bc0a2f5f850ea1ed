"""Faster R-CNN R-50, 2x, short side 640 to 800, COCO, in detectron2's conventions:
the student of LGD without its teacher.

Command: python tools/run_net.py --config-file=configs/faster_rcnn/faster_rcnn_r50_detectron2_ms_2x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/faster_rcnn_r50_detectron2_fpn.py",
    "../_base_/datasets/coco_detectron2_multiscale.py",
    "../_base_/schedules/detectron2_two_stage_2x.py",
]
