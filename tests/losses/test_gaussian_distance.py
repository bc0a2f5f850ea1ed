"""GDLoss and GDLoss_v1 beyond the reference arrays: known numbers, weights, extreme boxes, configs."""

import numpy as np
import pytest

from jld import losses
from jld.errors import ConfigError
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.losses import gaussian_reference as reference

KNOWN = [
    (losses.GDLoss("gwd", distance_floor=0), [0, 0.310261, 0, 0.117501]),
    (losses.GDLoss("kld", tau=1.0, distance_floor=0), [0, 0.361845, 0, 0.387401]),
    (losses.GDLossV1("kld", "log1p"), [1e-6, 0.436008, 1e-6, 0.484144]),
    (losses.GDLossV1("bcd", "log1p"), [1e-6, 0.108574, 1e-6, 0.132042]),
    (losses.GDLossV1("gwd", "sqrt", 2.0), [0.500250, 0.878595, 0.500250, 0.777463]),
]


@pytest.mark.parametrize(("loss", "expected"), KNOWN)
def test_known_numbers(loss, expected):
    got = reference.Elements(loss, reference.PRED, reference.TARGET).values.numpy()
    np.testing.assert_allclose(got, expected, rtol=5e-5, atol=1e-6)


def test_known_reduced_number():
    pred, target = (jt.array(boxes.astype(np.float32)) for boxes in (reference.PRED, reference.TARGET))
    loss = losses.GDLoss("gwd", loss_weight=5.0, distance_floor=0)
    got = loss(pred, target, jt.ones(4), avg_factor=4)
    assert got.item() == pytest.approx(0.534702, rel=5e-5)


def test_a_turned_box_with_sides_changed_over_is_the_same():
    box = np.array([[10.0, 12.0, 30.0, 8.0, 0.3]], np.float32)
    turned = np.array([[10.0, 12.0, 8.0, 30.0, 0.3 + np.pi / 2]], np.float32)
    target = jt.array(np.array([[11.0, 12.5, 26.0, 9.0, 0.2]], np.float32))
    for loss in (losses.GDLoss("gwd"), losses.GDLoss("kld"), losses.GDLossV1("kld")):
        values = [loss(jt.array(each), target).item() for each in (box, turned)]
        assert loss.turned_is_same and values[1] == pytest.approx(values[0], rel=1e-4)
    assert losses.KFLoss.turned_is_same and not losses.L1Loss.turned_is_same


def test_every_distance_rises_along_a_path_away_from_the_target():
    steps = np.linspace(0, 1, 6)[:, None]
    pred = reference.TARGET[1] + steps * [6, -4, 9, 3, 0.5]
    target = np.repeat(reference.TARGET[1:2], 6, axis=0)
    for loss_type in ("gwd", "kld", "jd", "kld_symmax", "kld_symmin"):
        values = reference.Elements(losses.GDLoss(loss_type), pred, target).values.numpy()
        assert (np.diff(values) > 0).all(), loss_type
    for loss_type in ("gwd", "kld", "bcd"):
        values = reference.Elements(losses.GDLossV1(loss_type, "log1p"), pred, target).values.numpy()
        assert (np.diff(values) > 0).all(), loss_type


def test_symmetric_forms_enclose_both_directions():
    pred, target = reference.random_pairs(12, seed=7)

    def value(loss_type, first, second):
        loss = losses.GDLoss(loss_type, fun="none", sqrt=False)
        return reference.Elements(loss, first, second).values.numpy()

    forward, backward = value("kld", pred, target), value("kld", target, pred)
    np.testing.assert_allclose(value("kld_symmax", pred, target), np.maximum(forward, backward), rtol=1e-5)
    np.testing.assert_allclose(value("kld_symmin", pred, target), np.minimum(forward, backward), rtol=1e-5)
    np.testing.assert_allclose(value("jd", pred, target), (forward + backward) / 2, rtol=1e-5)


def test_a_tie_of_both_directions_gives_both_half_of_the_gradient():
    shifted = reference.TARGET[1:2] + [5, 3, 0, 0, 0]
    gradients = {}
    for loss_type in ("kld_symmax", "kld_symmin", "jd"):
        elements = reference.Elements(losses.GDLoss(loss_type), shifted, reference.TARGET[1:2])
        gradients[loss_type] = elements.gradient(elements.values.sum())
    np.testing.assert_allclose(gradients["kld_symmax"], gradients["jd"], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(gradients["kld_symmin"], gradients["jd"], rtol=1e-4, atol=1e-7)


EXTREME = [
    *(losses.GDLoss(kind, distance_floor=floor) for kind in ("gwd", "kld") for floor in (1e-7, 0)),
    *(losses.GDLoss(kind) for kind in ("jd", "kld_symmax", "kld_symmin")),
    *(losses.GDLossV1(kind, "log1p") for kind in ("gwd", "kld", "bcd")),
]


@pytest.mark.parametrize("loss", EXTREME, ids=lambda loss: f"{type(loss).__name__}_{loss.loss_type}")
def test_extreme_boxes_have_finite_values_and_gradients(loss):
    pred, target = reference.extreme_pairs()
    elements = reference.Elements(loss, pred, target)
    assert np.isfinite(elements.values.numpy()).all()
    gradient = elements.gradient(elements.values.sum())
    bad = ~np.isfinite(gradient).all(1)
    assert not bad.any(), np.concatenate([pred[bad], target[bad]], 1)


@pytest.mark.parametrize("loss", [losses.GDLoss("kld", loss_weight=2.0), losses.GDLossV1("kld", "log1p")])
def test_rows_without_weight_do_not_count_whatever_they_hold(loss):
    pred = np.stack([reference.PRED, reference.PRED]).astype(np.float32)  # [2, 4, 5]
    target = np.stack([reference.TARGET, reference.TARGET]).astype(np.float32)
    weight = np.zeros((2, 4), np.float32)
    weight[0, 1], weight[1, 3] = 0.5, 2.0
    pred[0, 0], pred[0, 2], pred[1, 0] = np.nan, np.inf, 0
    target[weight == 0] = 0
    var = jt.array(pred)
    got = loss(var, jt.array(target), jt.array(weight), avg_factor=3.0)
    clean = reference.Elements(loss, reference.PRED, reference.TARGET).values.numpy()
    assert got.item() == pytest.approx(loss.loss_weight * (0.5 * clean[1] + 2.0 * clean[3]) / 3.0, rel=1e-5)
    gradient = jt.grad(got, var).numpy()
    assert np.isfinite(gradient).all() and not gradient[weight == 0].any()
    assert gradient[weight > 0].any(-1).all()
    per_coordinate = np.repeat(weight[..., None], 5, axis=-1)
    again = loss(var, jt.array(target), jt.array(per_coordinate), avg_factor=3.0)
    assert again.item() == pytest.approx(got.item(), rel=1e-6)


def test_first_family_can_average_over_positives_as_released():
    loss = losses.GDLossV1("kld", "log1p", reduction="sum", loss_weight=2.0, average="positives")
    pred, target = (jt.array(boxes.astype(np.float32)) for boxes in (reference.PRED, reference.TARGET))
    got = loss(pred, target, jt.array([0.0, 0.1, 0.0, 3.0]), avg_factor=17.0)
    assert got.item() == pytest.approx(2.0 * (0.436008 + 0.484144) / 2, rel=5e-5)
    assert loss(pred, target, jt.zeros(4), avg_factor=17.0).item() == 0
    everywhere = loss(pred, target)
    assert everywhere.item() == pytest.approx(2.0 * (0.436008 + 0.484144) / 4, rel=5e-5)


def test_mmrotate_configs_load():
    gwd = build({"type": "GDLoss", "loss_type": "gwd", "loss_weight": 5.0})
    assert (gwd.fun, gwd.tau, gwd.loss_weight) == ("log1p", 0.0, 5.0)
    stable = {
        "type": "GDLoss",
        "loss_type": "kld",
        "fun": "log1p",
        "tau": 1.0,
        "sqrt": False,
        "loss_weight": 5.0,
    }
    assert build(stable).sqrt is False
    first = build({"type": "GDLoss_v1", "loss_type": "kld", "fun": "log1p", "tau": 1.0, "loss_weight": 1.0})
    assert isinstance(first, losses.GDLossV1)
    assert isinstance(build({"type": "GaussianDistanceLoss", "loss_type": "jd"}), losses.GDLoss)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"type": "GDLoss", "loss_type": "gdw"}, "gwd"),
        ({"type": "GDLoss", "loss_type": "gwd", "fun": "log"}, "log1p"),
        ({"type": "GDLoss", "loss_type": "gwd", "representation": "xy_stddev_pearson"}, "xy_wh_r"),
        ({"type": "GDLoss", "loss_type": "gwd", "sqrt": False}, "always a root"),
        ({"type": "GDLoss", "loss_type": "kld", "normalize": False}, "no unit"),
        ({"type": "GDLoss_v1", "loss_type": "jd"}, "kld"),
        ({"type": "GDLoss_v1", "loss_type": "kld", "average": "positive"}, "positives"),
    ],
)
def test_bad_sections_name_the_cure(section, message):
    with pytest.raises(ConfigError, match=message):
        build(section)
