"""LGD on FCOS R-50, 2x, short side 640 to 800, COCO, in cvpods's conventions, as released.
Alone among the dense rows it has no context box.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_fcos_r50_cvpods_ms_2x_coco.py --task=train
Published: val AP 42.4 (README of megvii-research/LGD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["../fcos/fcos_r50_cvpods_ms_2x_coco.py", "../_base_/distill/lgd.py"]

distill = dict(teacher=dict(context_box=False))
published = dict(row="lgd-fcos-r50-ms-2x")
