"""Changes of an image's values: factors by hand, ranges kept, boxes left alone."""

import numpy as np
import pytest

from jld.data.photometric import ColorJitter, RandomInvert
from jld.data.transforms import Normalize, new_sample
from jld.errors import ConfigError


def changed(transform, image, seed=0):
    sample = new_sample(np.uint8(image).reshape(1, -1, 3), boxes=np.float32([[0, 0, 1, 1]]))
    result = transform(sample, np.random.default_rng(seed))
    assert result["boxes"].tolist() == [[0, 0, 1, 1]] and result["image"].dtype == np.uint8
    return result["image"].reshape(-1, 3).tolist()


GREYS = [[50, 50, 50], [150, 150, 150]]


def test_brightness_and_contrast_by_hand():
    assert changed(ColorJitter(brightness=(1.5, 1.5)), GREYS) == [[75, 75, 75], [225, 225, 225]]
    assert changed(ColorJitter(brightness=(2, 2)), GREYS) == [[100, 100, 100], [255, 255, 255]]
    # The mean is 100: distances from it halve.
    assert changed(ColorJitter(contrast=(0.5, 0.5)), GREYS) == [[75, 75, 75], [125, 125, 125]]
    assert changed(ColorJitter(contrast=(0, 0)), GREYS) == [[100, 100, 100]] * 2


def test_saturation_and_hue_by_hand():
    red = [[0, 0, 200]]  # BGR; its grey is 0.299 * 200 = 59.8
    assert changed(ColorJitter(saturation=(0, 0)), red) == [[60, 60, 60]]
    assert changed(ColorJitter(saturation=(0.5, 0.5)), red) == [[30, 30, 130]]
    turned = {tuple(changed(ColorJitter(hue=0.5), red, seed)[0]) for seed in range(20)}
    assert len(turned) > 10 and all(max(color) == 200 and min(color) == 0 for color in turned)
    assert changed(ColorJitter(hue=0.5, saturation=0.9), GREYS) == GREYS  # grey has neither


def test_factors_are_drawn_evenly_and_by_seed():
    means = [changed(ColorJitter(brightness=0.4), GREYS, seed)[0][0] for seed in range(500)]
    assert min(means) == 30 and max(means) == 70 and abs(np.mean(means) - 50) < 2
    jitter = ColorJitter(0.4, 0.4, 0.4, 0.1)
    assert changed(jitter, GREYS, 3) == changed(jitter, GREYS, 3) != changed(jitter, GREYS, 4)
    assert changed(ColorJitter(), GREYS) == GREYS


def test_inversion():
    assert changed(RandomInvert(1.0), GREYS) == [[205] * 3, [105] * 3]
    assert changed(RandomInvert(0.0), GREYS) == GREYS
    inverted = [changed(RandomInvert(0.3), GREYS, seed) != GREYS for seed in range(500)]
    assert abs(np.mean(inverted) - 0.3) < 0.06


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("brightness", -0.1),
        ("brightness", [0.5]),
        ("contrast", (1.2, 0.8)),
        ("contrast", (0, float("inf"))),
        ("saturation", (-1, 1)),
        ("hue", 0.6),
    ],
)
def test_ranges_that_are_none_are_errors(name, value):
    with pytest.raises(ConfigError, match=f"ColorJitter.{name}"):
        ColorJitter(**{name: value})
    with pytest.raises(ConfigError, match=r"RandomInvert\.prob"):
        RandomInvert(1.5)


@pytest.mark.parametrize("transform", [ColorJitter(0.1), RandomInvert(1.0)])
def test_normalised_images_are_refused(transform):
    sample = Normalize([0, 0, 0], [1, 1, 1])(new_sample(np.zeros((2, 2, 3), np.uint8)), None)
    with pytest.raises(ConfigError, match="put it before Normalize"):
        transform(sample, np.random.default_rng(0))
