"""LGD on RetinaNet X-101-DCNv2 (32x8d), 2x, short side 640 to 800, COCO, in detectron2's conventions, as released.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_retinanet_x101_32x8d_dcnv2_detectron2_ms_2x_coco.py --task=train
Published: val AP 45.9 (README of megvii-research/LGD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["../retinanet/retinanet_x101_32x8d_dcnv2_detectron2_ms_2x_coco.py", "../_base_/distill/lgd.py"]

distill = dict(terms=[dict(type="InstructiveMSE", schedule=dict(start=30000, stop=130001))])  # rests after step 130,000
published = dict(row="lgd-retinanet-x101-dcnv2-ms-2x")
