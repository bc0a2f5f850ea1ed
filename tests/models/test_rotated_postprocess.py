"""Selection of rotated detections on hand-made scores."""

import numpy as np
import pytest

from jld.boxes.priors import AnchorGenerator
from jld.models.postprocess import RotatedPostprocess

BOXES = np.float32([[-3, 5, 8, 4, 0.5], [70, 41, 6, 2, -2.0], [20, 10, 8, 4, 4.0]])
BATCH = {"img_ids": [7], "img_shapes": np.float32([[40, 60]]), "scale_factors": np.float32([[2, 4, 2, 4]])}


def keep_all(boxes, scores, labels, max_keep):
    order = np.argsort(-scores)[:max_keep]
    return boxes[order], scores[order], labels[order]


def detections(scores, **settings):
    priors = AnchorGenerator((8,)).priors([(1, 3)])
    process = RotatedPostprocess(0.3, 0, keep_all, 10, **settings)
    return process(np.float32([scores]), BOXES[None], priors, BATCH)[0]


@pytest.mark.parametrize(
    ("clamp_centers", "centers"), [(True, [[0, 5], [59, 39], [20, 10]]), (False, BOXES[:, :2])]
)
def test_centres_are_clamped_and_all_but_angles_scaled(clamp_centers, centers):
    found = detections([[0.9, 0.1], [0.2, 0.8], [0.7, 0.0]], clamp_centers=clamp_centers)
    np.testing.assert_allclose(found["boxes"][:, :2], np.float32(centers) / [2, 4])
    np.testing.assert_allclose(found["boxes"][:, 2:4], BOXES[:, 2:4] / [2, 4])
    np.testing.assert_array_equal(found["boxes"][:, 4], BOXES[:, 4])
    assert found["labels"].tolist() == [0, 1, 0] and found["boxes"].dtype == np.float32


def test_nothing_above_the_threshold_gives_empty_arrays():
    found = detections(np.zeros((3, 2)))
    assert found["boxes"].shape == (0, 5) and found["scores"].shape == (0,) and found["labels"].shape == (0,)
