"""Main LD, VLR LD (0.15 of it) and main KD of ATSS students, as trained with 2 images per GPU."""

distill = dict(
    terms=[
        dict(
            type="LocalizationKD", region="main", weight=0.25 * 2, temperature=10, weighting="max_score",
            reduction="per_image",
        ),
        dict(
            type="LocalizationKD", region="vlr", weight=0.15 * 0.25 * 2, temperature=10, weighting="iou",
            reduction="per_image",
        ),
        dict(type="ClassificationKD", region="main", weight=10.0, temperature=2, reduction="per_level_mean"),
    ],
)
