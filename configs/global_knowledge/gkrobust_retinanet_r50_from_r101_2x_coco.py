"""Global knowledge, ablation on RetinaNet: features and labels weighted by the agreement, no global term.

Command: python tools/run_net.py --config-file=configs/global_knowledge/gkrobust_retinanet_r50_from_r101_2x_coco.py --task=train
Published: none; an ablation of ours.
Measured with jld: not measured. Memory, time: not measured.
Start and schedule are those of gk_retinanet_r50_from_r101_2x_coco.py.
The released code does this under its own config, whose switch leaves the global term out.
"""

_base_ = ["../retinanet/retinanet_r50_2x_coco.py", "../_base_/distill/global_knowledge_retinanet.py"]

_attenuation = dict(type="EpochDecay")

distill = dict(
    terms=[
        dict(type="RobustFeatures", object_weight=1.0, background_weight=4.0, over_levels="sum", schedule=_attenuation),
        dict(type="RobustLabels", weight=1.0, temperature=2.0),
    ],
)
published = None  # of the plain detector
