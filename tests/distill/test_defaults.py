"""Terms that are chosen where the config names a teacher alone."""

import pytest

from jld.boxes.rotated.coders import DeltaXYWHAOBBoxCoder
from jld.distill.defaults import SHORT_SCHEDULE, default_terms
from jld.errors import ConfigError
from jld.models.boxes import DeltaBoxes, DistanceBoxes, DistributionBoxes
from tests.distill.imitation_scene import Head
from tests.stages import interface_of

BINS = DistributionBoxes(DistanceBoxes("strides"), 5)


def chosen(student, teacher):
    recipe, terms, refusal = default_terms(student, teacher)
    return recipe, [(term["type"], term.get("region", "main")) for term in terms], refusal


def test_distributions_on_both_sides_are_distilled():
    side = interface_of(Head(BINS))
    kinds = [("LocalizationKD", "main"), ("LocalizationKD", "vlr"), ("ClassificationKD", "main")]
    assert chosen(side, side) == ("localization distillation", kinds, "")


def test_a_short_training_gets_the_recipe_of_short_schedules():
    side = interface_of(Head(BINS))
    recipe, terms, refusal = default_terms(side, side, SHORT_SCHEDULE - 1)
    assert recipe == "localization distillation for less than 5000 steps" and not refusal
    assert [(term["region"], term["weight"], term["temperature"]) for term in terms] == [
        ("main", 12.0, 1),
        ("vlr", 3.0, 1),
    ]
    assert default_terms(side, side, SHORT_SCHEDULE) == default_terms(side, side)
    # Where boxes are no distributions the length changes nothing.
    deltas = interface_of(Head())
    assert default_terms(deltas, side, 100)[:2] == default_terms(deltas, side)[:2]


def test_rotated_distributions_get_the_region_of_rotated_boxes():
    side = interface_of(Head(DistributionBoxes(DeltaBoxes(DeltaXYWHAOBBoxCoder("le90")), 5)))
    recipe, kinds, _ = chosen(side, side)
    assert recipe == "rotated localization distillation"
    assert kinds == [("LocalizationKD", "rotated_ld"), ("ClassificationKD", "rotated_ld")]


@pytest.mark.parametrize(
    ("num_classes", "long", "short"), [(15, 20.0, 2.0), (18, 20.0, 2.0), (6, 8.0, 0.8), (1, 4 / 3, 4 / 3)]
)
def test_the_mean_over_classes_weighs_what_it_does_with_the_published_ones(num_classes, long, short):
    boxes = DistributionBoxes(DeltaBoxes(DeltaXYWHAOBBoxCoder("le90")), 5)
    side = interface_of(Head(boxes, num_classes))
    for steps, expected in ((None, long), (100, short)):
        recipe, terms, _ = default_terms(side, side, steps)
        assert recipe.startswith("rotated localization distillation")
        assert [term["weight"] for term in terms] == [10.0, pytest.approx(expected)]
        assert [term["temperature"] for term in terms] == [1 if steps else 5, 5]
    upright = interface_of(Head(BINS, num_classes))
    assert default_terms(upright, upright)[1][2]["weight"] == pytest.approx(10 * num_classes / 80)


def test_everything_else_exchanges_features_and_says_why():
    bins, deltas = interface_of(Head(BINS)), interface_of(Head())
    recipe, kinds, refusal = chosen(deltas, bins)
    assert (recipe, kinds) == ("features", [("PKD", "main")]) and "box_logits" in refusal
    recipe, _, _ = chosen(deltas, interface_of(Head(BINS), channels=16))
    assert recipe == "features through adapters"


def test_detectors_that_share_nothing_are_refused():
    far = Head()
    far.priors = type(far.priors)((128,))
    with pytest.raises(ConfigError, match="no default terms fit these two detectors"):
        default_terms(interface_of(Head(BINS)), interface_of(far))
