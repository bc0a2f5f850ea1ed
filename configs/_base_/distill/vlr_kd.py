"""Main LD, VLR LD and VLR KD, as trained with 3 images per GPU."""

distill = dict(
    terms=[
        dict(
            type="LocalizationKD", region="main", weight=0.25 * 3, temperature=10, weighting="max_score",
            reduction="per_image",
        ),
        dict(
            type="LocalizationKD", region="vlr", weight=0.0625 * 3, temperature=10, weighting="iou",
            reduction="per_image",
        ),
        dict(type="ClassificationKD", region="vlr", weight=10.0, temperature=2, reduction="per_level_mean"),
    ],
)
