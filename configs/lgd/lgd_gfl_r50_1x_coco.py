"""LGD on GFL R-50, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_gfl_r50_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: LGD publishes no row for this detector: an option of jld.
"""

_base_ = ["../gfl/gfl_r50_1x_coco.py", "../_base_/distill/lgd.py"]

published = None  # of the plain detector
