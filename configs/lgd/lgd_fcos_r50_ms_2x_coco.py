"""LGD on FCOS R-50, 2x, multi-scale, COCO, on the FCOS of mmDetection.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_fcos_r50_ms_2x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the released row is cvpods' FCOS; as there, FCOS R-50 alone has no context box.
"""

_base_ = ["../fcos/fcos_r50_ms_2x_coco.py", "../_base_/distill/lgd.py"]

published = None  # of the plain detector
distill = dict(teacher=dict(context_box=False))
