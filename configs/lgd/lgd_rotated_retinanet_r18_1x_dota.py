"""LGD on rotated RetinaNet R-18, 1x, DOTA-1.0: objects are described by rotated boxes.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_rotated_retinanet_r18_1x_dota.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: LGD publishes no row for this detector: an option of jld.
"""

_base_ = ["../rotated/rotated_retinanet_r18_1x_dota.py", "../_base_/distill/lgd.py"]

published = None  # of the plain detector
# As the plain detector: 0.0025 for 2 images.
optimizer = dict(student=dict(lr=0.0025), teacher=dict(lr=0.0025))
auto_scale_lr = dict(base_batch_size=2)
