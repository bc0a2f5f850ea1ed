"""GFL head losses and gradients on given maps, and through the whole model, against mmDetection."""

import numpy as np
import pytest

from jld.models import GFLHead
from jld.models.heads.dense_head import flatten_levels
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.golden_cases import case, param_cases
from tests.models.golden_models import (
    assert_sampled,
    build_model,
    generated,
    head_config,
    targets_of,
    whole_model_cases,
)
from tests.stages import stage_of


def total(losses):
    return sum(losses.values())


def assert_losses_equal(losses, arrays, rtol):
    names = {key.removeprefix("loss/") for key in arrays if key.startswith("loss/")} - {"total"}
    assert set(losses) == names
    for name in names:
        # NaN in the reference: the batch has no positive, and zero is wanted.
        expected = np.nan_to_num(arrays[f"loss/{name}"]).astype(np.float64).sum()
        np.testing.assert_allclose(losses[name].item(), expected, rtol=rtol, atol=1e-6, err_msg=name)


def assert_targets_equal(assignment, arrays):
    sure = ~arrays["out/tgt/fragile"]
    weights = arrays["out/tgt/label_weights"]
    np.testing.assert_array_equal(assignment.label_weights.numpy()[sure], weights[sure])
    learning = sure & (weights > 0)
    np.testing.assert_array_equal(assignment.labels.numpy()[learning], arrays["out/tgt/labels"][learning])
    assert assignment.num_total_pos.item() == arrays["out/tgt/num_total_pos"]


@pytest.mark.parametrize("name", param_cases("h_gfl_loss_*"))
def test_losses_on_given_maps_equal_golden(name):
    meta, arrays = case(name)
    head_meta = dict(meta["head"])
    head = build(
        {
            **head_config(head_meta, head_meta["train_cfg"], head_meta["test_cfg"]),
            "in_channels": 32,
            "feat_channels": 32,
        }
    )
    assert isinstance(head, GFLHead)
    levels = range(len(head.priors.strides))
    maps = {
        key: [generated(meta, f"{key}/{level}") for level in levels] for key in ("cls_score", "bbox_pred")
    }
    shapes = head.prediction_shapes()
    predictions = {
        "cls_logits": flatten_levels(maps["cls_score"], per_prior=shapes["cls_logits"]),
        "box_logits": flatten_levels(maps["bbox_pred"], per_prior=shapes["box_logits"]),
    }
    places = head.priors.priors([x.shape[2:] for x in maps["cls_score"]])
    targets = targets_of(arrays, maps["cls_score"][0].shape[0])
    stage = stage_of(head, predictions, places, targets)
    assert_targets_equal(stage.assignment, arrays)
    losses = head.losses(stage)
    assert_losses_equal(losses, arrays, rtol=1e-4)

    gradients = iter(jt.grad(total(losses), maps["cls_score"] + maps["bbox_pred"]))
    for key in ("cls_score", "bbox_pred"):
        for level in levels:
            gradient = next(gradients).numpy()
            assert np.isfinite(gradient).all()
            if np.isfinite(arrays[f"grad/{key}/{level}/norm"]):
                assert_sampled(meta, arrays, f"grad/{key}/{level}", gradient, 1e-4)


@pytest.mark.parametrize("name", whole_model_cases("loss/total"))
def test_whole_model_losses_and_gradients_equal_golden(name):
    meta, arrays = case(name)
    model = build_model(meta)
    targets = targets_of(arrays, meta["generated"]["img"]["shape"][0])
    trace = model.predict(model.features(generated(meta, "img")), targets)
    assert_targets_equal(trace.stage().assignment, arrays)
    losses = model.losses(trace, targets)
    names = [name for name in meta["grad_names"]]
    parameters = dict(model.named_parameters())
    learning = {id(parameter) for parameter in model.trainable_parameters()}
    assert {name for name, var in parameters.items() if id(var) in learning} == set(names)
    statistics = {name: var.numpy().copy() for name, var in parameters.items() if "running" in name}
    gradients = dict(zip(names, jt.grad(total(losses), [parameters[name] for name in names]), strict=True))
    assert_losses_equal(losses, arrays, rtol=5e-4)
    norms = [np.linalg.norm(gradients[name].numpy().astype(np.float64)) for name in names]
    np.testing.assert_allclose(norms, arrays["grad_norms"], rtol=2e-3, atol=1e-7)
    for key in (
        key.removesuffix("/norm") for key in arrays if key.startswith("grad/") and key.endswith("/norm")
    ):
        name = key.removeprefix("grad/")
        expected = arrays[f"{key}/sample"]
        got = gradients[name].numpy().ravel()
        index = np.unique(np.linspace(0, got.size - 1, len(expected)).astype(np.int64))
        np.testing.assert_allclose(
            got[index], expected, rtol=0, atol=1e-2 * np.abs(expected).max(), err_msg=key
        )
    for name, before in statistics.items():
        np.testing.assert_array_equal(parameters[name].numpy(), before, err_msg=name)
