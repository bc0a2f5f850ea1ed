"""Main LD, VLR LD without positives (0.03 of it) and main KD of the released RetinaNet, with 2 images per GPU.

As released the sides share one softmax over 68 entries; sides="mean" compares side by side.
"""

distill = dict(
    terms=[
        dict(
            type="LocalizationKD", region="main", weight=5.0 / 4 * 2, temperature=10, weighting="max_score",
            sides="joint", reduction="per_image",
        ),
        dict(
            type="LocalizationKD", region="vlr", weight=0.03 * 5.0 / 4 * 2, temperature=10, weighting="iou",
            sides="joint", reduction="per_image",
        ),
        dict(type="ClassificationKD", region="main", weight=10.0, temperature=8, reduction="per_level_mean"),
    ],
    regions=dict(vlr=dict(type="ValuableLocalizationRegion", exclude_main=True)),
)
