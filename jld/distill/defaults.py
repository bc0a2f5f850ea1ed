"""Terms for a student and a teacher where the config names none: what the two have in common."""

from __future__ import annotations

from typing import Any

from jld.distill.compatibility import check_compatible
from jld.errors import ConfigError
from jld.models.interface import Interface
from jld.registry import REGIONS, build

SHORT_STEPS = 2_000
"""A training below is short. Measured at 600 steps (projects/when_it_helps), published at 90,000; the border
between lies where nobody has looked.
"""
SHORT = "localization distillation of short schedules"

_LD = {"type": "LocalizationKD", "temperature": 10.0, "reduction": "per_image"}
_SHORT_LD = {**_LD, "temperature": 1.0}
_ROTATED = {"region": "rotated_ld", "temperature": 5.0, "weighting": "iou", "reduction": "per_level_mean"}
# From what says most of the boxes to what any two pyramids can exchange.
RECIPES: dict[str, list[dict[str, Any]]] = {
    # configs/_base_/distill/short_schedule.py
    SHORT: [
        {**_SHORT_LD, "region": "main", "weight": 12.0, "weighting": "uniform"},
        {**_SHORT_LD, "region": "vlr", "weight": 3.0, "weighting": "iou"},
    ],
    # Main LD, VLR LD and main KD as released for 2 images per GPU (arXiv:2102.12252).
    "localization distillation": [
        {**_LD, "region": "main", "weight": 0.5, "weighting": "max_score"},
        {**_LD, "region": "vlr", "weight": 0.125, "weighting": "iou"},
        {"type": "ClassificationKD", "weight": 10.0, "temperature": 2.0, "reduction": "per_level_mean"},
    ],
    "rotated localization distillation": [
        {"type": "LocalizationKD", "weight": 10.0, "sides": "sum", **_ROTATED},
        {"type": "ClassificationKD", "weight": 20.0, **_ROTATED},
    ],
    "features": [{"type": "PKD"}],
    "features through adapters": [{"type": "PKD", "adapter": "1x1"}],
}


def default_terms(
    student: Interface, teacher: Interface, num_steps: int | None = None
) -> tuple[str, list[dict[str, Any]], str]:
    """(name of the recipe, its terms, why not the first one) for a student and a teacher.

    The first of RECIPES that the two can be distilled with: box distributions where both predict them, maps
    otherwise. That of short schedules takes part below `SHORT_STEPS` alone.

    Args:
        student, teacher: the two detectors.
        num_steps: of the training; None: as long as published ones.

    Raises:
        ConfigError: none of them; says why not the last.
    """
    refusal = last = ""
    is_short = num_steps is not None and num_steps < SHORT_STEPS
    for name, sections in RECIPES.items():
        if name == SHORT and not is_short:
            continue
        terms = [build(section, path="distill.terms") for section in sections]
        regions = {region: REGIONS.get(region)() for term in terms for region in term.regions}
        try:
            check_compatible(student, {"teacher": teacher}, [(term, "teacher") for term in terms], regions)
        except ConfigError as error:
            last = str(error)
            refusal = refusal or last
            continue
        return name, [dict(section) for section in sections], refusal
    raise ConfigError(f"no default terms fit these two detectors: {last}")
