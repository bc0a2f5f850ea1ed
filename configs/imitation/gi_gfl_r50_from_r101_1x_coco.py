"""Imitation of general instances (GI) on GFL: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/gi_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 41.5, AP50 59.6, AP75 45.2 (README table of HikariTJU/LD; logit mimicking versus feature
imitation).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released code picks ten places per level on every GPU, which had 2 images; here they are picked over
the images of a device. Without `thinning="batch"` ten are picked in every image, whatever the batch.
"""

_base_ = "none_gfl_r50_1x_coco.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    regions=dict(gi=dict(type="GeneralInstance", topk=10, iou_threshold=0.3, padding="at_origin", thinning="batch")),
    terms=[
        dict(type="FeatureImitation", region="gi", weight=2.0, needs_positives=True),
    ],
)
published = dict(row="ld-coco-imitation-gi-r50-from-r101-1x")
