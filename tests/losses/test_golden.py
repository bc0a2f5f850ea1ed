"""Every loss against the reference numbers: all reductions, with gradients."""

import re

import numpy as np
import pytest

from jld import losses
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill

CASE = "h_losses"
REDUCTIONS = ("none", "mean", "sum", "weighted", "avg")
AVG_FACTOR = 4.0
# Loss weights of the reference run; only those of the KL losses are in the file.
WEIGHTS = {"dfl": 0.25, "qfl": 1.0, "focal": 1.0, "l1": 1.0, "box": 2.0}


def tags():
    try:
        _, arrays = case(CASE)
    except pytest.skip.Exception:
        return [pytest.param("", marks=pytest.mark.skip(reason=f"no golden case {CASE}"))]
    return sorted({key.split("/")[1] for key in arrays if key.startswith("out/") and key.count("/") == 2})


def generated(meta, name):
    return fill.generate(meta["generated"][name])


def inputs(tag, meta, arrays):
    """(loss class, keywords, prediction, target) of a tag; an unknown tag fails."""
    if tag.startswith("qfl"):
        pred, is_logit = generated(meta, tag + "/pred"), tag != "qfl_prob"
        pred = pred if is_logit else (1 / (1 + np.exp(-pred.astype(np.float64)))).astype(np.float32)
        target = (arrays[f"in/{tag}/label"].astype(np.int32), arrays[f"in/{tag}/score"])
        return losses.QualityFocalLoss, {"use_sigmoid": is_logit, "loss_weight": WEIGHTS["qfl"]}, pred, target
    if tag.startswith("dfl"):
        target = arrays[f"in/{tag}/label"]
        return (
            losses.DistributionFocalLoss,
            {"loss_weight": WEIGHTS["dfl"]},
            generated(meta, tag + "/pred"),
            target,
        )
    if tag.startswith("kl"):
        pred, target = generated(meta, tag + "/pred"), generated(meta, tag + "/soft")
        keywords = dict(meta["kl"][tag])
        return softened(keywords.pop("T")), keywords, pred, target
    if tag == "focal":
        target = arrays["in/focal/label"].astype(np.int32)
        return losses.FocalLoss, {"loss_weight": WEIGHTS["focal"]}, generated(meta, "focal/pred"), target
    if number := re.fullmatch(r"SmoothL1Loss([\d.]+)|L1Loss|MSELoss", tag):
        keywords = {"beta": float(number[1])} if number[1] else {}
        cls = getattr(losses, re.sub(r"[\d.]+$", "", tag))
        return (
            cls,
            {**keywords, "loss_weight": WEIGHTS["l1"]},
            generated(meta, "l1/pred"),
            generated(meta, "l1/target"),
        )
    name = tag.removesuffix("_edge")
    where = "in/iou_edge" if tag.endswith("_edge") else "in/iou"
    return (
        getattr(losses, name),
        {"loss_weight": WEIGHTS["box"]},
        arrays[where + "/pred"],
        arrays[where + "/target"],
    )


def softened(temperature):
    """The soft-target loss at a temperature, as a class with reductions."""

    class SoftTargets(losses.WeightedLoss):
        def element_loss(self, student, teacher):
            return losses.kl_divergence(student, teacher, temperature)

    return SoftTargets


def to_var(value):
    return tuple(to_var(v) for v in value) if isinstance(value, tuple) else jt.array(value)


@pytest.mark.golden
@pytest.mark.parametrize("tag", tags())
def test_values_and_gradients(tag):
    meta, arrays = case(CASE)
    cls, keywords, pred, target = inputs(tag, meta, arrays)
    done = [key.split("/")[2] for key in arrays if re.fullmatch(rf"out/{re.escape(tag)}/\w+", key)]
    assert done and set(done) <= set(REDUCTIONS)
    var, target = jt.array(pred), to_var(target)
    element = cls(**keywords).element_loss(var, target)
    element.sync()
    compared = (
        np.ones(len(pred), bool) if not tag.endswith("_edge") else differentiable_rows(pred, target.numpy())
    )
    for reduction in done:
        loss = cls(reduction=reduction if reduction in ("none", "sum") else "mean", **keywords)
        # The computed element loss is reused: all reductions then share one forward and one backward kernel.
        loss.element_loss = lambda *_: element
        weight = jt.array(arrays[f"in/{tag}/weight"]) if reduction in ("weighted", "avg") else None
        got = loss(var, target, weight, AVG_FACTOR if reduction == "avg" else None)
        upstream = jt.grad(got.sum(), element, retain_graph=True)
        upstream.sync()
        grad = jt.grad((element * upstream.detach()).sum(), var, retain_graph=True)
        compare(got.numpy(), grad.numpy(), compared, arrays, f"out/{tag}/{reduction}")


def differentiable_rows(pred, target):
    """Rows of box pairs away from the kinks of min, max and abs, where frameworks pick different slopes."""
    smooth = np.ones(len(pred), bool)
    for low, high in ((0, 2), (1, 3)):
        for mine in (low, high):
            smooth &= (pred[:, mine] != target[:, low]) & (pred[:, mine] != target[:, high])
        smooth &= pred[:, low] != pred[:, high]
        smooth &= pred[:, low] + pred[:, high] != target[:, low] + target[:, high]
        smooth &= pred[:, high] - pred[:, low] != target[:, high] - target[:, low]
    return smooth


def compare(got, grad, compared, arrays, key):
    expected, expected_grad = arrays[key], arrays[key + "/grad"]
    assert np.isfinite(got).all() and np.isfinite(grad).all(), key
    got = got.reshape(expected.shape)
    ok = np.isfinite(expected)  # the reference's CIoU is not a number for identical boxes
    np.testing.assert_allclose(got[ok], expected[ok], rtol=1e-5, atol=1e-6, err_msg=key)
    np.testing.assert_allclose(grad[compared], expected_grad[compared], rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.golden
def test_feature_imitation():
    meta, arrays = case(CASE)
    student = jt.array(generated(meta, "im/x"))
    teacher = jt.array(generated(meta, "im/t"))
    loss = 2.0 * losses.squared_error(student, teacher).mean()
    grad = jt.grad(loss, student).numpy().ravel()
    np.testing.assert_allclose(loss.item(), arrays["out/im"], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(grad), arrays["grad/im/norm"], rtol=1e-5)
    picked = fill.sample_index(grad.size, meta["sampled"]["grad/im"]["k"])
    np.testing.assert_allclose(grad[picked], arrays["grad/im/sample"], rtol=1e-5, atol=1e-6)
