"""Localization distillation on the positives, as trained with 2 images per GPU (weight 0.25, T 10)."""

distill = dict(
    terms=[
        dict(
            type="LocalizationKD", region="main", weight=0.25 * 2, temperature=10, weighting="max_score",
            reduction="per_image",
        ),
    ],
)
