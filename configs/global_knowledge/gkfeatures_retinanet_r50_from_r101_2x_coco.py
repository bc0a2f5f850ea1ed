"""Global knowledge, ablation on RetinaNet: decoupled features alone, every object cell with weight 1.

Command: python tools/run_net.py --config-file=configs/global_knowledge/gkfeatures_retinanet_r50_from_r101_2x_coco.py --task=train
Published: none; an ablation of ours.
Measured with jld: not measured. Memory, time: not measured.
Start and schedule are those of gk_retinanet_r50_from_r101_2x_coco.py.
"""

_base_ = ["../retinanet/retinanet_r50_2x_coco.py", "../_base_/distill/global_knowledge_retinanet.py"]

_attenuation = dict(type="EpochDecay")

distill = dict(
    terms=[
        dict(
            type="RobustFeatures", object_weight=1.0, background_weight=4.0, over_levels="sum", weighted=False,
            schedule=_attenuation,
        ),
    ],
)
hooks = None
published = None  # of the plain detector
