"""Selection of detections on hand-made scores."""

import numpy as np
import pytest

from jld.boxes.priors import AnchorGenerator
from jld.errors import ConfigError
from jld.models.postprocess import Postprocess, make_postprocess
from jld.ops.nms import ClasswiseNMS


def batch(**changes):
    one = {"img_ids": [7], "img_shapes": np.float32([[40, 60]]), "scale_factors": np.float32([[2, 4, 2, 4]])}
    return one | changes


def detections(scores, boxes, settings=None, quality=None, **changes):
    priors = AnchorGenerator((8, 16)).priors([(1, 3), (1, 2)])
    process = Postprocess(
        **(
            {"score_threshold": 0.3, "nms_pre": 2, "nms": ClasswiseNMS(0.5), "max_per_image": 10}
            | (settings or {})
        )
    )
    quality = None if quality is None else np.float32([quality])
    return process(np.float32([scores]), np.float32([boxes]), priors, batch(**changes), quality=quality)[0]


FAR = [[0, 0, 8, 8], [10, 0, 18, 8], [20, 0, 28, 8], [30, 0, 38, 8], [52, 36, 70, 50]]


def test_best_of_every_level_threshold_clip_and_rescale():
    found = detections([[0.9, 0.1], [0.5, 0.6], [0.4, 0.1], [0.2, 0.1], [0.3, 0.8]], FAR)
    assert found["img_id"] == 7
    # The third box is beyond the two best of its level; 0.3 is not above the threshold.
    np.testing.assert_allclose(found["scores"], [0.9, 0.8, 0.6, 0.5])
    assert found["labels"].tolist() == [0, 1, 1, 0]
    np.testing.assert_allclose(
        found["boxes"][1], [26, 9, 30, 10]
    )  # clipped to 60 x 40, then divided by 2 and 4
    assert found["boxes"].dtype == found["scores"].dtype == np.float32 and found["labels"].dtype == np.int64


def test_nms_pre_zero_looks_at_everything_and_the_limit_holds():
    scores = [[0.9, 0], [0.8, 0], [0.7, 0], [0.6, 0], [0.5, 0]]
    assert len(detections(scores, FAR, {"nms_pre": 0})["scores"]) == 5
    found = detections(scores, FAR, {"nms_pre": 0, "max_per_image": 3})
    np.testing.assert_allclose(found["scores"], [0.9, 0.8, 0.7])


def test_overlapping_boxes_of_one_class_are_suppressed():
    boxes = [[0, 0, 8, 8], [0, 0, 8, 7], *FAR[2:]]
    found = detections([[0.9, 0.5], [0.8, 0.6], [0, 0], [0, 0], [0, 0]], boxes)
    assert found["labels"].tolist() == [0, 1]
    np.testing.assert_allclose(found["scores"], [0.9, 0.6])


def test_nothing_above_the_threshold_gives_empty_arrays():
    found = detections(np.zeros((5, 2)), FAR)
    assert found["boxes"].shape == (0, 4) and found["scores"].shape == (0,) and found["labels"].shape == (0,)


def test_quality_ranks_and_scales_after_the_threshold():
    scores = [[0.9, 0], [0.8, 0], [0.7, 0], [0.6, 0], [0.2, 0]]
    found = detections(scores, FAR, quality=[0.1, 1.0, 0.5, 0.25, 1.0])
    # The first row is third of its level by score times quality; the last is below the threshold by itself.
    np.testing.assert_allclose(found["scores"], [0.8, 0.35, 0.15], rtol=1e-6)


def test_quality_decides_which_of_two_boxes_survives():
    boxes = [[0, 0, 8, 8], [0, 0, 8, 7], *FAR[2:]]
    found = detections([[0.9, 0], [0.8, 0], [0, 0], [0, 0], [0, 0]], boxes, quality=[0.5, 1, 1, 1, 1])
    np.testing.assert_allclose(found["scores"], [0.8])


def pairs(scores, boxes, candidates="pairs", quality=None, nms_pre=3):
    priors = AnchorGenerator((8, 16)).priors([(1, 3), (1, 2)])
    process = make_postprocess(candidates, 0.3, nms_pre, ClasswiseNMS(0.5), 10)
    quality = None if quality is None else np.float32([quality])
    return process(np.float32([scores]), np.float32([boxes]), priors, batch(), quality=quality)[0]


SCORES = [[0.9, 0.8], [0.7, 0.6], [0.4, 0.1], [0.2, 0.1], [0.3, 0.8]]


def test_the_best_pairs_of_every_level():
    found = pairs(SCORES, FAR)
    # 0.6 is the fourth pair of its level; the other level has one pair above the threshold.
    np.testing.assert_allclose(found["scores"], [0.9, 0.8, 0.8, 0.7], rtol=1e-6)
    assert sorted(found["labels"].tolist()) == [0, 0, 1, 1]
    assert len(pairs(SCORES, FAR, nms_pre=0)["scores"]) == 6
    # A level of two priors gives two pairs, one of three gives three.
    many = [[0.9, 0.8], [0.7, 0.6], [0.5, 0.4], [0.9, 0.8], [0.7, 0.6]]
    assert len(pairs(many, FAR, "pairs_per_cell", nms_pre=9)["scores"]) == 5


def test_pairs_are_clipped_at_the_end_and_empty_ones_dropped():
    boxes = [[-12, 0, 8, 8], [-1, 0, 8, 8], [70, 0, 90, 8], *FAR[3:]]
    found = pairs([[0.9, 0], [0.8, 0], [0.7, 0], [0, 0], [0, 0]], boxes)
    # The first two overlap by 72 / 160 as they are, wholly after clipping; the third lies beside the image.
    np.testing.assert_allclose(found["boxes"], [[0, 0, 4, 2], [0, 0, 4, 2]])


def test_the_root_of_score_and_quality():
    found = pairs([[0.5, 0], [0.9, 0], [0, 0], [0, 0], [0, 0]], FAR, quality=[0.5, 0.1, 1, 1, 1])
    np.testing.assert_allclose(found["scores"], [0.5, 0.3], rtol=1e-6)
    with pytest.raises(ConfigError, match="pairs_per_cell"):
        make_postprocess("pairs_per_level", 0.3, 3, None, 10)
