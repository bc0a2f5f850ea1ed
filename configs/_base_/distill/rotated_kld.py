"""LD and KD of the released rotated KLD student (R-34 teacher): weights 15 and 15, temperature 5; see rotated_gwd."""

_released = dict(region="rotated_ld_released", temperature=5, weighting="iou", reduction="per_level_mean")

distill = dict(
    terms=[
        dict(type="LocalizationKD", weight=15.0, sides="sum", **_released),
        dict(type="ClassificationKD", weight=15.0, **_released),
    ],
)
