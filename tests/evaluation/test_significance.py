"""Scores under image weights are COCO's, and intervals say what they should."""

from dataclasses import replace

import numpy as np
import pytest

from jld.evaluation import CocoEvaluator, DotaEvaluator
from jld.evaluation.significance import coco_score, dota_score, mean_and_deviation, paired_gain
from tests.evaluation import test_dota
from tests.evaluation.cases import crowd_case, detected, truth

CLASSES = ("a", "b")


def scene(seed, spread, num_images=30):
    """Detections around random boxes, the nearer the smaller `spread`, some of them wrong or twice."""
    rng = np.random.default_rng(seed)
    found, truths = [], []
    for image in range(num_images):
        corners = rng.uniform(0, 120, (int(rng.integers(0, 4)), 2))
        boxes = np.concatenate([corners, corners + rng.uniform(20, 60, corners.shape)], axis=1)
        labels = rng.integers(0, 2, len(boxes))
        guesses = np.concatenate([boxes, boxes, rng.uniform(0, 60, (2, 4)) + [0, 0, 60, 60]])
        guesses = guesses + rng.normal(0, spread, guesses.shape)
        guessed = np.concatenate([labels, labels, rng.integers(0, 2, 2)])
        found.append(detected(image, guesses, rng.uniform(0, 1, len(guesses)), guessed))
        crowd, difficult = rng.random((2, len(boxes))) < 0.15
        truths.append(truth(image, boxes, labels, crowd=crowd, difficult=difficult))
    return found, truths


@pytest.mark.parametrize("seed, spread", [(0, 2.0), (1, 6.0), (2, 8.0)])
def test_with_every_image_once_it_is_the_evaluators_score(seed, spread):
    found, truths = scene(seed, spread)
    score = coco_score(found, truths, len(CLASSES))(np.ones(len(truths), np.int64))
    assert score == pytest.approx(CocoEvaluator()(found, truths, CLASSES)["AP"], abs=1e-9) and score > 0.05
    strict = coco_score(found, truths, len(CLASSES), [0.75])(np.ones(len(truths), np.int64))
    assert strict == pytest.approx(CocoEvaluator()(found, truths, CLASSES)["AP75"], abs=1e-9)


def test_an_image_that_counts_twice_is_an_image_that_is_there_twice():
    found, truths = scene(3, 4.0)
    weights = np.arange(len(truths)) % 3
    rows = np.repeat(np.arange(len(truths)), weights)
    copies = [
        detected(new, found[row].boxes, found[row].scores, found[row].labels) for new, row in enumerate(rows)
    ]
    repeated = [{**truths[row], "img_id": new} for new, row in enumerate(rows)]
    expected = CocoEvaluator()(copies, repeated, CLASSES)["AP"]
    assert coco_score(found, truths, 2)(weights) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", ["07", "area"])
@pytest.mark.parametrize("seed", [1, 4])
def test_a_score_of_rotated_boxes_counts_images_as_its_evaluator_does(seed, metric):
    evaluator = DotaEvaluator(metric=metric)
    found, truths = test_dota.random_case(seed, num_images=12)
    score = dota_score(found, truths, len(test_dota.CLASSES), metric)
    expected = evaluator(found, truths, test_dota.CLASSES)["AP"]
    assert score(np.ones(len(truths), np.int64)) == pytest.approx(expected, abs=1e-12) and expected > 0.05
    weights = np.arange(len(truths)) % 3
    rows = np.repeat(np.arange(len(truths)), weights)
    copies = [replace(found[row], img_id=new) for new, row in enumerate(rows)]
    repeated = [{**truths[row], "img_id": new} for new, row in enumerate(rows)]
    expected = evaluator(copies, repeated, test_dota.CLASSES)["AP"]
    assert score(weights) == pytest.approx(expected, abs=1e-12)


def test_crowds_swallow_and_nothing_to_find_has_no_score():
    assert coco_score(*crowd_case(), 1)(np.ones(1)) == 1
    assert coco_score([], [truth(0, [], [])], 1)(np.ones(1)) == -1


def test_a_gain_that_all_seeds_and_images_share_is_clear():
    tight, truths = zip(*(scene(seed, 2.0) for seed in range(3)), strict=True)
    loose = [scene(seed, 5.0)[0] for seed in range(3)]
    scores = [
        [coco_score(found, truth, 2) for found, truth in zip(runs, truths, strict=True)]
        for runs in (tight, loose)
    ]
    gain = paired_gain(*scores, num_images=30)
    assert gain.is_clear and 0 < gain.low < gain.mean < gain.high and gain.num_seeds == 3
    back = paired_gain(*scores[::-1], num_images=30)
    assert back.is_clear and (back.low, back.high) == pytest.approx((-gain.high, -gain.low))
    same = paired_gain(scores[0], scores[0], num_images=30)
    assert not same.is_clear and (same.low, same.mean, same.high) == (0, 0, 0)


def test_the_interval_of_seeds_alone_is_that_of_a_mean():
    """Scores that no image moves: the draws of seeds have the deviation of a mean of so many numbers."""
    rng = np.random.default_rng(0)
    differences = rng.normal(0.02, 0.01, 40)
    better = [lambda weights, value=value: value for value in differences]
    gain = paired_gain(better, [lambda weights: 0.0] * 40, num_images=5)
    half = 1.96 * differences.std() / 40**0.5
    assert gain.mean == pytest.approx(differences.mean())
    assert gain.deviation == pytest.approx(differences.std(ddof=1))
    assert (gain.high - gain.low) / 2 == pytest.approx(half, rel=0.05)
    assert str(gain).startswith(f"{100 * gain.mean:+.1f} [")


def test_images_of_one_place_are_drawn_together():
    """Ten copies of an image say no more than it does: drawn alone their interval is sqrt(10) too narrow."""
    gains = np.repeat(np.random.default_rng(0).normal(0.02, 0.01, 30), 10)
    better, base = [lambda weights: float(weights @ gains / weights.sum())], [lambda weights: 0.0]
    alone = paired_gain(better, base, 300)
    together = paired_gain(better, base, 300, groups=[f"place {image // 10}" for image in range(300)])
    assert together.mean == alone.mean == pytest.approx(gains.mean())
    widths = [each.high - each.low for each in (alone, together)]
    assert widths[1] / widths[0] == pytest.approx(10**0.5, rel=0.2)
    assert paired_gain(better, base, 300, groups=range(300)) == alone
    with pytest.raises(ValueError, match="groups names 2 images, there are 300"):
        paired_gain(better, base, 300, groups=[0, 1])
    with pytest.raises(ValueError, match="all images are in one group"):
        paired_gain(better, base, 300, groups=[0] * 300)


def test_single_values_and_wrong_numbers_of_runs():
    assert mean_and_deviation([0.5]) == (0.5, None)
    assert mean_and_deviation([0.1, 0.3]) == pytest.approx((0.2, 0.02**0.5))
    for better, base in (([], []), ([lambda weights: 0.0], [])):
        with pytest.raises(ValueError, match="as many runs of both kinds"):
            paired_gain(better, base, 3)
