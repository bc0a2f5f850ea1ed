"""Main KD + main LD + VLR LD + imitation of general instances (GI) on GFL: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/oursgi_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 42.4 (README of HikariTJU/LD; released weights).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released code picks ten places per level on every GPU, which had 2 images; here they are picked over
the images of a device. Without `thinning="batch"` ten are picked in every image, whatever the batch.
Sums over locations at 2 images per GPU are written as means per image times 2.
"""

_base_ = "none_gfl_r50_1x_coco.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    regions=dict(gi=dict(type="GeneralInstance", topk=10, iou_threshold=0.3, padding="at_origin", thinning="batch")),
    terms=[
        dict(
            type="LocalizationKD", region="main", weight=0.25 * 2, temperature=10, weighting="max_score",
            reduction="per_image",
        ),
        dict(
            type="LocalizationKD", region="vlr", weight=0.0625 * 2, temperature=10, weighting="iou",
            reduction="per_image",
        ),
        dict(type="ClassificationKD", region="main", weight=10.0, temperature=2, reduction="per_level_mean"),
        dict(type="FeatureImitation", region="gi", weight=2.0, needs_positives=True),
    ],
)
published = dict(row="ld-coco-ours-gi-r50-from-r101-1x")
