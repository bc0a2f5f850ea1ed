"""LD for some hundred steps from scratch: strong from the first one, at temperature 1, every positive alike.

Published recipes are made for 90,000 steps from ImageNet features: `max_score` waits for the student's own
confidence. Found with AdamW on drawn images whose boxes have an annotator's errors, where the boxes are exact it
gains nothing (projects/when_it_helps/README.md); with SGD on blood cells it gains more than the published weights
(projects/bccd/README.md). What one-argument distillation takes for a training of less than 5,000 steps.
"""

_ld = dict(type="LocalizationKD", temperature=1, reduction="per_image")

distill = dict(
    terms=[
        dict(**_ld, region="main", weight=12.0, weighting="uniform"),
        dict(**_ld, region="vlr", weight=3.0, weighting="iou"),
    ],
)
