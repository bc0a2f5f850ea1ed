"""Global knowledge, ablation on RetinaNet: relations between instances in the place of prototypes.

Command: python tools/run_net.py --config-file=configs/global_knowledge/gkrelations_retinanet_r50_from_r101_2x_coco.py --task=train
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
        dict(type="RobustLabels", weight=1.0, temperature=2.0, weighted=False),
        dict(type="InstanceRelations", distance_weight=5.0, angle_weight=10.0, schedule=_attenuation),
    ],
)
hooks = None
published = None  # of the plain detector
