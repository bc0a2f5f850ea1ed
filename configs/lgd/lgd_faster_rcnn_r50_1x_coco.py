"""LGD on Faster R-CNN R-50, 1x, COCO, on the Faster R-CNN of mmDetection.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_faster_rcnn_r50_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the released rows are detectron2's (180,000 steps, multi-scale). As there no context box, the losses of the painted
maps end at the neck, and the rate is 0.02 for 16 images.
"""

_base_ = ["../faster_rcnn/faster_rcnn_r50_1x_coco.py", "../_base_/distill/lgd.py"]

distill = dict(teacher=dict(context_box=False, detach_appearance=True))
optimizer = dict(student=dict(lr=0.02), teacher=dict(lr=0.02))
published = None  # of the plain detector
