"""Main LD, LD of the points inside objects that are not positive (a quarter of it) and main KD, with 2 images per GPU."""

distill = dict(
    terms=[
        dict(
            type="LocalizationKD", region="main", weight=0.25 * 2, temperature=10, weighting="max_score",
            reduction="per_image",
        ),
        dict(
            type="LocalizationKD", region="fcos_vlr", weight=0.0625 * 2, temperature=10, weighting="max_score",
            reduction="per_image",
        ),
        dict(type="ClassificationKD", region="main", weight=10.0, temperature=2, reduction="per_level_mean"),
    ],
)
