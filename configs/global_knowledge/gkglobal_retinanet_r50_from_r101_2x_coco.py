"""Global knowledge, ablation on RetinaNet: the similarities to the prototypes alone.

Command: python tools/run_net.py --config-file=configs/global_knowledge/gkglobal_retinanet_r50_from_r101_2x_coco.py --task=train
Published: none; an ablation of ours.
Measured with jld: not measured. Memory, time: not measured.
Start and schedule are those of gk_retinanet_r50_from_r101_2x_coco.py.
"""

_base_ = ["../retinanet/retinanet_r50_2x_coco.py", "../_base_/distill/global_knowledge_retinanet.py"]

_attenuation = dict(type="EpochDecay")

distill = dict(
    terms=[
        dict(type="GlobalKnowledge", weight=5.0, schedule=_attenuation),
    ],
)
published = None  # of the plain detector
