"""Rotated RetinaNet head on given maps: targets, losses, gradients, detections of mmRotate and Rotated-LD."""

import numpy as np
import pytest

from jld.toolchain import jittor as jt
from tests.golden_cases import case, cases, param_cases
from tests.models.golden_rotated import (
    assert_detections_equal,
    assert_losses_equal,
    assert_map_gradients,
    assert_targets_equal,
    expected_losses,
    given_head,
    given_maps,
    rotated_batch,
    rotated_targets,
    stage_of_maps,
)

GROUPS = ("s_retina_*", "s_gwd_*", "s_kld_*", "s_kfiou_*", "r_dist_*")


@pytest.fixture(scope="module")
def solved():
    """{case: everything a test needs of it}, each case computed once."""
    return {}


def solve(solved, name):
    if name not in solved:
        meta, arrays = case(name)
        head = given_head(meta)
        maps = given_maps(meta, range(len(head.priors.strides)))
        targets = rotated_targets(arrays, maps["cls_score"][0].shape[0])
        solved[name] = meta, arrays, maps, stage_of_maps(head, maps, targets)
    return solved[name]


@pytest.mark.parametrize("group", GROUPS)
def test_the_group_is_there(group):
    if not cases("[rs]_*"):
        pytest.skip("no golden cases")
    assert cases(group), f"no case {group} although others are there"


@pytest.mark.parametrize("name", [name for group in GROUPS for name in param_cases(group)])
def test_losses_on_given_maps_equal_golden(solved, name):
    meta, arrays, maps, stage = solve(solved, name)
    assert_targets_equal(meta, arrays, stage)
    losses = stage.head.losses(stage)
    assert_losses_equal(losses, expected_losses(arrays), rtol=1e-4)
    assert_map_gradients(meta, arrays, maps, sum(losses.values()))


def cases_with_detections():
    """Detections are there if the settings are, and only then."""
    found = []
    for name in [name for group in GROUPS for name in cases(group)]:
        meta, arrays = case(name)
        assert ("det_cfg" in meta) == any(key.startswith("out/det") for key in arrays), name
        found += [name] * ("det_cfg" in meta)
    return found or param_cases("s_retina_*")


@pytest.mark.parametrize("name", cases_with_detections())
def test_detections_from_given_maps_equal_golden(solved, name):
    _, arrays, maps, stage = solve(solved, name)
    count = maps["cls_score"][0].shape[0]
    batch = rotated_batch(arrays, count)
    factors = {"det": batch["scale_factors"]}
    factors["det_rescale"] = np.stack([arrays[f"in/scale_factor/{i}"] for i in range(count)])
    with jt.no_grad():
        for key, scale_factors in factors.items():
            detections = stage.head.detect(stage, {**batch, "scale_factors": scale_factors})
            for image, found in enumerate(detections):
                assert found["img_id"] == image
                assert_detections_equal(
                    found, arrays[f"out/{key}/boxes/{image}"], arrays[f"out/{key}/labels/{image}"]
                )
