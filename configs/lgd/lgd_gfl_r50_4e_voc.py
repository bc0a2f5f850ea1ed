"""LGD on GFL R-50, 4 epochs of three passes, VOC 07+12.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_gfl_r50_4e_voc.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: LGD publishes no row for this detector: an option of jld.
"""

_base_ = ["../gfl/gfl_r50_4e_voc.py", "../_base_/distill/lgd.py"]

published = None  # of the plain detector
