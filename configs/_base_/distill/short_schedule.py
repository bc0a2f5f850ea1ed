"""LD for short schedules from scratch: hard from the first step, at temperature 1, wherever a prior is positive.

Published recipes are made for 90,000 steps from ImageNet features. Their `max_score` waits for the student's own
confidence, and temperature 10 for logits that are far apart: in some hundred steps neither comes. What this gives,
and from where on the published recipe is as good: projects/when_it_helps/README.md.
"""

_ld = dict(type="LocalizationKD", temperature=1, reduction="per_image")

distill = dict(
    terms=[
        dict(**_ld, region="main", weight=12.0, weighting="uniform"),
        dict(**_ld, region="vlr", weight=3.0, weighting="iou"),
    ],
)
