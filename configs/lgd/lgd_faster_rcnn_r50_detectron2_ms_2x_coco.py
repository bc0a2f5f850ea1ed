"""LGD on Faster R-CNN R-50, 2x, short side 640 to 800, COCO, in detectron2's conventions, as released:
no context box, and the losses of the painted maps end at the neck.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_faster_rcnn_r50_detectron2_ms_2x_coco.py --task=train
Published: val AP 40.5 (README of megvii-research/LGD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["../faster_rcnn/faster_rcnn_r50_detectron2_ms_2x_coco.py", "../_base_/distill/lgd.py"]

distill = dict(teacher=dict(context_box=False, detach_appearance=True))
optimizer = dict(student=dict(lr=0.02), teacher=dict(lr=0.02))
published = dict(row="lgd-faster-rcnn-r50-ms-2x")
