"""LD and KD of the released rotated GWD student (R-34 teacher): weights 10 and 20, temperature 5.

Both look at one region, weigh by IoU and take the mean per level, as released; angles of the ground truth are ignored.
"""

_released = dict(region="rotated_ld_released", temperature=5, weighting="iou", reduction="per_level_mean")

distill = dict(
    terms=[
        dict(type="LocalizationKD", weight=10.0, sides="sum", **_released),
        dict(type="ClassificationKD", weight=20.0, **_released),
    ],
)
