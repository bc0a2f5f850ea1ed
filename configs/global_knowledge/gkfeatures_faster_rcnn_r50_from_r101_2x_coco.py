"""Global knowledge, ablation on Faster R-CNN: decoupled features alone, every object cell with weight 1.

Command: python tools/run_net.py --config-file=configs/global_knowledge/gkfeatures_faster_rcnn_r50_from_r101_2x_coco.py --task=train
Published: none; an ablation of ours.
Measured with jld: not measured. Memory, time: not measured.
Start and schedule are those of gk_faster_rcnn_r50_from_r101_2x_coco.py.
"""

_base_ = ["../faster_rcnn/faster_rcnn_r50_2x_coco.py", "../_base_/distill/global_knowledge_faster_rcnn.py"]

_attenuation = dict(type="EpochDecay")
_roi = dict(stage="roi", max_instances=128)

distill = dict(
    terms=[
        dict(
            _roi, type="RobustFeatures", object_weight=1.0, background_weight=4.0, over_levels="mean",
            padding="included", weighted=False, schedule=_attenuation,
        ),
    ],
)
hooks = None
published = None  # of the plain detector
