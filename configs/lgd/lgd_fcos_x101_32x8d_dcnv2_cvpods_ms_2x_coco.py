"""LGD on FCOS X-101-DCNv2 (32x8d), 2x, short side 640 to 800, COCO, in cvpods's conventions, as released.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_fcos_x101_32x8d_dcnv2_cvpods_ms_2x_coco.py --task=train
Published: val AP 47.9 (README of megvii-research/LGD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["../fcos/fcos_x101_32x8d_dcnv2_cvpods_ms_2x_coco.py", "../_base_/distill/lgd.py"]

distill = dict(terms=[dict(type="InstructiveMSE", schedule=dict(start=30000, stop=130001))])  # rests after step 130,000
published = dict(row="lgd-fcos-x101-dcnv2-ms-2x")
