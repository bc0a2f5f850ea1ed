"""FGD against numbers computed elsewhere: masks, the four parts, the global blocks."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from jld.distill.terms import FGD
from jld.distill.terms.fgd import GlobalContext, object_masks
from jld.errors import ConfigError
from jld.toolchain import jittor as jt
from tests.assign.rotated_scenes import rotated_targets
from tests.assign.scenes import make_targets
from tests.distill import check_values
from tests.distill.imitation_scene import GIVEN, OWN, bound, context, interfaces

SHAPE = (2, 4, 6, 8)
BOXES = [np.float32([(3, 5, 20, 18), (10, 2, 30, 30)]), np.float32([(4, 4, 30, 20)])]
PADS = [(48, 64), (48, 64)]
# weights that leave one part alone
ALONE = {
    "fg_weight": {"image": 14.959649, "padded": 15.366440},
    "bg_weight": {"image": 10.106678, "padded": 10.700908},
    "attention_weight": {"image": 18.539490, "padded": 18.539490},
    "global_weight": {"image": 503.398676, "padded": 503.398676},
}


def targets(boxes=BOXES, make=make_targets):
    made = make(boxes, PADS, labels=[np.zeros(len(rows), np.int32) for rows in boxes])
    return dataclasses.replace(made, img_shapes=np.float32([(48, 64), (40, 56)]))


def maps():
    return [jt.array(fill(*SHAPE)) for fill in (check_values.student, check_values.teacher)]


def one_level(own, given, of=None):
    return SimpleNamespace(feature_levels=lambda *_: iter([(0, own, given)]), targets=of or targets())


def fgd(**options):
    term = FGD(**options)
    term.blocks = {f"{side}.0": GlobalContext(SHAPE[1]) for side in ("student", "teacher")}
    return term


def given_block(phase):
    """A block of four channels with weights that a line writes down."""
    block, c, j = GlobalContext(4), np.arange(4), np.arange(8)
    values = {
        (block.mask, "weight"): (0.3 * np.sin(c + 1 + phase)).reshape(1, 4, 1, 1),
        (block.inner, "weight"): (0.5 * np.cos(j + phase)).reshape(2, 4),
        (block.inner, "bias"): [0.1, -0.2],
        (block.outer, "weight"): (0.4 * np.sin(2 * j + phase)).reshape(4, 2),
        (block.outer, "bias"): 0.05 * c,
    }
    for (layer, name), value in values.items():
        setattr(layer, name, jt.array(np.float32(value)))
    return block


@pytest.mark.parametrize(("frame", "total"), [("image", 0.031800), ("padded", 0.032504)])
def test_check_values(frame, total):
    own, given = maps()
    loss = fgd(box_frame=frame)(one_level(own, given))
    np.testing.assert_allclose(loss.item(), total, atol=6e-7)
    if frame == "image":
        np.testing.assert_allclose(jt.grad(loss, own)[0, 0, 0, 0].item(), -4.4827e-5, rtol=2e-5)
    for name, values in ALONE.items():
        term = fgd(box_frame=frame, **dict.fromkeys(ALONE, 0.0) | {name: 1.0})
        np.testing.assert_allclose(term(one_level(own, given)).item(), values[frame], rtol=2e-6)
    background = object_masks(one_level(own, given), SHAPE, frame)[1].numpy()
    free = [24, 24] if frame == "image" else [24, 28]
    np.testing.assert_array_equal((background > 0).sum((1, 2)), free)
    np.testing.assert_allclose(background.sum((1, 2)), 1, rtol=1e-6)


def test_global_blocks_change_both_sides():
    own, given = maps()
    term = fgd(**dict.fromkeys(ALONE, 0.0) | {"global_weight": 1.0})
    term.blocks = {"student.0": given_block(0), "teacher.0": given_block(1)}
    loss = term(one_level(own, given))
    np.testing.assert_allclose(loss.item(), 513.890840, rtol=2e-6)
    parameters = [var for block in term.blocks.values() for var in block.parameters()]
    gradients = [g.numpy() for g in jt.grad(loss, parameters)]
    assert len(parameters) == 14 and all(g.any() for g in gradients), "both blocks learn"


def test_without_objects_everything_is_background():
    own, given = maps()
    nothing = one_level(own, given, targets([np.zeros((0, 4), np.float32)] * 2))
    objects, background = (mask.numpy() for mask in object_masks(nothing, SHAPE, "padded"))
    assert not objects.any()
    np.testing.assert_allclose(background, 1 / 48, rtol=1e-6)
    everything = one_level(own, given, targets([np.float32([(-9, -9, 80, 80)])] * 2))
    objects, background = (mask.numpy() for mask in object_masks(everything, SHAPE, "padded"))
    assert (objects > 0).all() and not background.any()
    assert np.isfinite(fgd()(everything).item()) and np.isfinite(fgd()(nothing).item())


def test_a_rotated_box_counts_by_the_upright_one_around_it():
    """A square on its corner covers sqrt(2) times its side: 17 to 31 px."""
    side = 14 / 2**0.5
    turned = targets([np.float32([(24, 24, side, side, np.pi / 4)]), []], rotated_targets)
    upright = targets([np.float32([(17, 17, 31, 31)]), []])
    masks = [
        object_masks(SimpleNamespace(targets=each), SHAPE, "padded")[0].numpy() for each in (turned, upright)
    ]
    assert masks[1].any()
    np.testing.assert_allclose(masks[0], masks[1], rtol=1e-5)


def test_levels_are_added_after_the_adapter_and_may_be_divided_by_their_cells():
    term = bound(FGD(adapter="1x1", **dict.fromkeys(ALONE, 0.0) | {"global_weight": 1.0}))
    names = [f"{side}.{level}" for level in (0, 1) for side in ("student", "teacher")]
    assert list(term.modules()) == ["adapter.0", "adapter.1", *names]
    step = context(term)
    sums, cells = [], []
    for level, student, teacher in step.feature_levels():
        own = term.blocks[f"student.{level}"](term.adapters(level, student)).numpy()
        given = term.blocks[f"teacher.{level}"](teacher).numpy()
        sums.append(((own - given) ** 2).sum() / 2)
        cells.append(teacher.shape[2] * teacher.shape[3])
    np.testing.assert_allclose(term(step).item(), sum(sums), rtol=1e-4)
    term.per_cell = True
    expected = sum(value / count for value, count in zip(sums, cells, strict=True))
    np.testing.assert_allclose(term(step).item(), expected, rtol=1e-4)


def test_one_cell_and_constant_maps_are_finite():
    for shape, factor in (((1, 4, 1, 1), 1), ((1, 4, 2, 3), 0)):
        sides = check_values.student(*shape), check_values.teacher(*shape)
        own, given = (jt.array(side * np.float32(factor)) for side in sides)
        scene = SimpleNamespace(
            feature_levels=lambda levels, own=own, given=given: iter([(0, own, given)]),
            targets=make_targets([[(2, 2, 60, 60)]], [(64, 64)], labels=[[0]]),
        )
        loss = fgd()(scene)
        assert np.isfinite([loss.item(), *jt.grad(loss, own).numpy().ravel()]).all()


def test_refusals():
    (problem,) = FGD().check(*interfaces())
    assert f"{OWN} channels, the teacher's {GIVEN}: add adapter='1x1'" in problem
    with pytest.raises(ConfigError, match="did you mean 'image'"):
        FGD(box_frame="images")
