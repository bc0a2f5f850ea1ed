"""LGD on Faster R-CNN X-101-DCNv2 (32x8d), 2x, short side 640 to 800, COCO, in detectron2's conventions, as released:
no context box, and the losses of the painted maps end at the neck.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_faster_rcnn_x101_32x8d_dcnv2_detectron2_ms_2x_coco.py --task=train
Published: val AP 46.2 (README of megvii-research/LGD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["../faster_rcnn/faster_rcnn_x101_32x8d_dcnv2_detectron2_ms_2x_coco.py", "../_base_/distill/lgd.py"]

distill = dict(
    teacher=dict(context_box=False, detach_appearance=True),
    terms=[dict(type="InstructiveMSE", schedule=dict(start=30000, stop=130001))],  # rests after step 130,000
)
optimizer = dict(student=dict(lr=0.02), teacher=dict(lr=0.02))
published = dict(row="lgd-faster-rcnn-x101-dcnv2-ms-2x")
