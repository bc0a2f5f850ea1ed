"""Terms for a student and a teacher where the config names none: what the two have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jld.config import load_config, shipped_configs
from jld.distill.compatibility import check_compatible
from jld.errors import ConfigError
from jld.models.interface import Interface
from jld.registry import REGIONS, build

# Trainings of fewer steps are short: the published recipes are for 90,000 and more from ImageNet features.
SHORT_SCHEDULE = 5000
_LD = {"type": "LocalizationKD", "temperature": 10.0, "reduction": "per_image"}
_ROTATED = {"region": "rotated_ld", "temperature": 5.0, "weighting": "iou", "reduction": "per_level_mean"}
# By the numbers of a box: `ClassificationKD` is a mean over classes, its weight in proportion to them.
PUBLISHED_CLASSES = {4: 80, 5: 15}
# From what says most of the boxes to what any two pyramids can exchange.
RECIPES: dict[str, list[dict[str, Any]]] = {
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
    otherwise; below SHORT_SCHEDULE steps those of short trainings go first. The weight of `ClassificationKD`
    is in proportion to the classes.

    Args:
        num_steps: of the training; None: as many as the published ones.
    Raises:
        ConfigError: none of them; says why not the last.
    """
    refusal = last = ""
    recipes = RECIPES if num_steps is None or num_steps >= SHORT_SCHEDULE else _short(student) | RECIPES
    for name, sections in recipes.items():
        terms = [build(section, path="distill.terms") for section in sections]
        regions = {region: REGIONS.get(region)() for term in terms for region in term.regions}
        try:
            check_compatible(student, {"teacher": teacher}, [(term, "teacher") for term in terms], regions)
        except ConfigError as error:
            last = str(error)
            refusal = refusal or last
            continue
        return name, [_for_classes(section, student) for section in sections], refusal
    raise ConfigError(f"no default terms fit these two detectors: {last}")


def _short(student: Interface) -> dict[str, list[dict[str, Any]]]:
    """Recipes of trainings below SHORT_SCHEDULE steps, see projects/when_it_helps and projects/rotated_ld."""
    upright = load_config(shipped_configs() / "_base_/distill/short_schedule.py").distill.terms
    localization, classification = RECIPES["rotated localization distillation"]
    localization = {**localization, "temperature": 1.0}
    if student.stage().num_classes > 1:  # from scratch the full weight drowns the detector's own losses
        classification = {**classification, "weight": classification["weight"] / 10}
    name = f"localization distillation for less than {SHORT_SCHEDULE} steps"
    return {name: upright, f"rotated {name}": [localization, classification]}


def _for_classes(section: Mapping[str, Any], student: Interface) -> dict[str, Any]:
    if section["type"] != "ClassificationKD":
        return dict(section)
    stage = student.stage()
    share = stage.num_classes / PUBLISHED_CLASSES[stage.boxes.num_sides]
    return {**section, "weight": section["weight"] * min(share, 1.0)}
