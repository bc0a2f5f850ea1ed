"""Gaussian losses and KFIoU against the reference numbers: all reductions, with gradients."""

import re

import numpy as np
import pytest

from jld import losses
from jld.toolchain import jittor as jt
from tests.golden_cases import case, cases, fill
from tests.losses import gaussian_reference as reference

CASES = [name for name in ("r_losses", "s_losses") if name in cases("?_losses")]
REDUCTIONS = ("none", "mean", "sum", "weighted", "avg")
AVG_FACTOR = 4.0
# The file gives the settings of the KFIoU losses by name only.
KFIOU_LOSS_WEIGHT, KFIOU_AVG_FACTOR = 5.0, 7.0


def tagged():
    found = [(name, tag) for name in CASES for tag in sorted({key.split("/")[2] for key in outputs(name)})]
    return found or [pytest.param("", "", marks=pytest.mark.skip(reason="no golden case ?_losses"))]


def outputs(name):
    return [key for key in case(name)[1] if re.fullmatch(r"out/\w+/\w+/\w+", key)]


def sets(arrays, tag):
    """Names of the sets of box pairs a tag was computed for."""
    found = {key.split("/")[1] for key in arrays if key.startswith("out/") and f"/{tag}/" in key}
    assert found
    return sorted(found)


def make_loss(meta, tag, **extra):
    """The loss of a tag; a setting that we do not have fails."""
    spec = dict(meta["specs"][tag])
    cls = {"GDLoss": losses.GDLoss, "GDLoss_v1": losses.GDLossV1}[spec.pop("type")]
    if cls is losses.GDLoss:
        is_first_release = "0.1.0" in meta["versions"]["reference"]
        extra["distance_floor"] = 0.0 if is_first_release else 1e-7
    return cls(**spec, **extra)


def compare_values(got, expected, tag, where):
    # The reference takes determinants of float32 matrices: for the thin boxes here they keep four digits, and
    # that of a product of two matrices, which only the Bhattacharyya distance needs, three.
    atol = 1e-3 if "bcd" in tag else 1e-4
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, expected.reshape(got.shape), rtol=5e-5, atol=atol, err_msg=where)


def compare_gradients(got, expected, tag, where, compared):
    assert np.isfinite(got).all(), where
    compared = compared & np.isfinite(expected).all(1)  # the first release divides by 0 for identical boxes
    scale = np.abs(expected[compared]).max(1, keepdims=True)
    allowed = (1e-3 if "bcd" in tag else 5e-4) * scale + 1e-6
    assert (np.abs(got - expected)[compared] <= allowed).all(), where


def differentiable(tag, pred, target):
    """Rows away from the kink of the larger or smaller of two divergences; rounding picks a side there."""
    if "symm" not in tag:
        return np.ones(len(pred), bool)
    forward = reference.rows(reference.kl_second_to_first, pred, target)
    backward = reference.rows(reference.kl_second_to_first, target, pred)
    return np.abs(forward - backward) > 1e-4 * (forward + backward)


@pytest.mark.golden
@pytest.mark.parametrize(("name", "tag"), tagged())
def test_values_and_gradients(name, tag):
    meta, arrays = case(name)
    check = check_kfiou if tag.startswith("kf_") else check_v1 if "v1" in tag else check_distance
    for where in sets(arrays, tag):
        check(meta, arrays, tag, where)


def check_distance(meta, arrays, tag, where):
    pred, target = arrays[f"in/{where}/pred"], arrays[f"in/{where}/target"]
    elements = reference.Elements(make_loss(meta, tag), pred, target)
    done = [key.split("/")[3] for key in arrays if re.fullmatch(rf"out/{where}/{tag}/\w+", key)]
    assert "none" in done and set(done) <= set(REDUCTIONS)
    compared = differentiable(tag, pred, target)
    for reduction in done:
        loss = make_loss(meta, tag, reduction=reduction if reduction in ("none", "sum") else "mean")
        loss.element_loss = lambda *_: elements.values  # shares its kernels between the reductions
        weight = jt.array(arrays[f"in/{where}/{tag}/weight"]) if reduction in ("weighted", "avg") else None
        avg_factor = AVG_FACTOR if reduction == "avg" else None
        got = loss(elements.boxes, jt.array(target), weight, avg_factor)
        key = f"out/{where}/{tag}/{reduction}"
        compare_values(got.numpy(), arrays[key], tag, key)
        compare_gradients(elements.gradient(got.sum()), arrays[key + "/grad"], tag, key, compared)


def check_v1(meta, arrays, tag, where):
    """The reference returns one value per row of positive weight and ignores the weights."""
    weight, key = arrays[f"in/{where}/{tag}/weight"], f"out/{where}/{tag}/weighted"
    assert not [k for k in arrays if re.fullmatch(rf"out/{where}/{tag}/(?!weighted)\w+", k)]
    loss = make_loss(meta, tag, average="positives")
    elements = reference.Elements(loss, arrays[f"in/{where}/pred"], arrays[f"in/{where}/target"])
    counts = weight > 0
    compare_values(elements.values.numpy()[counts] * loss.loss_weight, arrays[key].ravel(), tag, key)
    loss.element_loss = lambda *_: elements.values
    mean = loss(elements.boxes, elements.boxes, jt.array(weight))
    compare_values(mean.numpy(), arrays[key].mean(), tag, key)
    gradient = elements.gradient(mean) * counts.sum()
    compare_gradients(gradient, arrays[key + "/grad"], tag, key, np.ones(len(weight), bool))


def check_kfiou(meta, arrays, tag, where):
    deltas = [fill.generate(meta["generated"][f"{where}/kf_delta_{side}"]) for side in ("pred", "target")]
    pred_deltas, target_deltas = map(jt.array, deltas)
    boxes, target_boxes = jt.array(arrays[f"in/{where}/pred"]), jt.array(arrays[f"in/{where}/target"])
    decoded = {"pred_decode": boxes, "targets_decode": target_boxes}
    weight = jt.array(arrays[f"in/{where}/{tag}/weight"])
    fun, key = tag.removeprefix("kf_"), f"out/{where}/{tag}"
    loss = losses.KFLoss(fun, "none", KFIOU_LOSS_WEIGHT)
    compare_values(loss(pred_deltas, target_deltas, **decoded).numpy(), arrays[key + "/none"], tag, key)
    loss = losses.KFLoss(fun, "mean", KFIOU_LOSS_WEIGHT)
    got = loss(pred_deltas, target_deltas, weight, KFIOU_AVG_FACTOR, **decoded)
    compare_values(got.numpy(), arrays[key + "/avg"], tag, key)
    # The reference gets the small covariance of the product as a difference of large ones: for a box beside
    # one 50 times its size that leaves one digit of the slope by the angle (which is 0 for a square).
    mine, other = (arrays[f"in/{where}/{side}"][:, 2:4].max(1) for side in ("pred", "target"))
    compared = np.maximum(mine / other, other / mine) < 50
    for what, grad in zip(("delta", "box"), jt.grad(got, [pred_deltas, boxes]), strict=True):
        compare_gradients(grad.numpy(), arrays[f"{key}/grad_{what}"], tag, f"{key} {what}", compared)


@pytest.mark.golden
@pytest.mark.parametrize("name", CASES)
def test_no_weight_at_all(name):
    _, arrays = case(name)
    assert arrays["out/zero_weight/value"] == 0 and not arrays["out/zero_weight/grad"].any()
    pred = jt.array(np.full(arrays["out/zero_weight/grad"].shape, np.nan, np.float32))
    target = jt.zeros(pred.shape)
    for loss in (losses.GDLoss("kld"), losses.GDLossV1("kld", "log1p", average="positives")):
        got = loss(pred, target, jt.zeros(pred.shape[:1]), avg_factor=4.0)
        assert got.item() == 0
        assert not jt.grad(got, pred).numpy().any()
