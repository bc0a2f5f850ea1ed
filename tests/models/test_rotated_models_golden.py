"""Rotated RetinaNet from image to detections, gradients and SGD steps, against mmRotate and Rotated-LD."""

import numpy as np
import pytest

from jld.toolchain import jittor as jt
from tests.golden_cases import case, cases, param_cases
from tests.models.golden_models import generated
from tests.models.golden_rotated import (
    assert_detections_of_model,
    assert_losses_equal,
    assert_maps_equal,
    assert_parameter_gradients,
    assert_sgd_equal,
    assert_targets_equal,
    build_rotated,
    expected_losses,
    rotated_targets,
)


def plain_cases():
    """Whole-model cases without a teacher."""
    names = [name for group in ("s_full_*", "r_full_*") for name in cases(group)]
    plain = [name for name in names if "teacher" not in case(name)[0]["params"]]
    return plain or param_cases("s_full_*")


@pytest.mark.parametrize("name", plain_cases())
def test_whole_model_equals_golden(name):
    meta, arrays = case(name)
    model = build_rotated(meta, meta["model"], "student", test_cfg=meta["det_cfg"])
    images = generated(meta, "img")
    targets = rotated_targets(arrays, images.shape[0])
    trace = model.predict(model.features(images), targets)
    assert_maps_equal(meta, arrays, model, images, trace)
    assert_detections_of_model(arrays, model, trace)

    assert_targets_equal(meta, arrays, trace.stage())
    losses = model.losses(trace, targets)
    assert_losses_equal(losses, expected_losses(arrays), rtol=5e-4)
    learning = {id(parameter) for parameter in model.trainable_parameters()}
    parameters = dict(model.named_parameters())
    assert {name for name, var in parameters.items() if id(var) in learning} == set(meta["grad_names"])
    assert_parameter_gradients(meta, arrays, parameters, sum(losses.values()))

    if "sgd" in meta:

        def step_losses():
            return model.losses(model.predict(model.features(images), targets), targets)

        assert_sgd_equal(meta, arrays, model, step_losses)


def test_gradients_stay_finite_without_objects():
    name = next(iter(cases("r_full_dist_*")), None)
    if name is None:
        pytest.skip("no golden case r_full_dist_*")
    meta, arrays = case(name)
    model = build_rotated(meta, meta["model"], "student")
    images = generated(meta, "img")
    empty = {key: value[:0] if key.startswith("in/gt_") else value for key, value in arrays.items()}
    targets = rotated_targets(empty, images.shape[0])
    losses = model.losses(model.predict(model.features(images), targets), targets)
    assert losses["loss_bbox"].item() == 0 and losses["loss_cls"].item() > 0
    for gradient in jt.grad(sum(losses.values()), model.trainable_parameters()):
        assert np.isfinite(gradient.numpy()).all()
