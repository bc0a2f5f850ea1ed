"""RPNHead against mmDetection: assignment, sample, losses with their gradients, proposals."""

import numpy as np
import pytest

from jld.errors import ConfigError
from jld.models import assign_state
from jld.models.boxes import targets_or_places
from jld.models.heads.dense_head import flatten_levels
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill, param_cases
from tests.models.golden_models import assert_sampled, batch_of, generated
from tests.models.golden_two_stage import (
    NUM_IMAGES,
    assert_parameters,
    known_keys,
    limits,
    rpn_config,
    targets_of,
)
from tests.stages import stage_of

SIZES = [(32, 40), (16, 20), (8, 10), (4, 5), (2, 3)]
IN = (r"in/(gt_bboxes|gt_labels|gt_bboxes_ignore|img_shape|ori_shape|pad_shape|scale_factor)/\d",)
SAMPLE = (r"in/sample/(pos_inds|neg_inds|pos_assigned_gt_inds)/\d",)
TARGETS = (
    r"out/tgt/(fragile|gt_inds|inside|label_weights|labels|max_overlaps|bbox_weights|num_level_anchors)",
    r"out/tgt/(num_total_pos|num_total_neg|bbox_targets_pos|bbox_targets_pos/index)",
    r"out/tgt/(anchors|bbox_targets)/(norm|sample)",
)
LOSSES = (r"loss/(loss_rpn_cls|loss_rpn_bbox|total)", r"grad/(loss_rpn_\w+/)?rpn_(cls|reg)/\d/(norm|sample)")
OUTPUTS = (r"chk/.+", r"out/base_anchors/\d", r"out/proposals\w*/\d", r"out/rpn_(cls|reg)/\d/(norm|sample)")
PARAMETERS = (r"grad_norms", r"grad/(rpn_\w+\.(weight|bias)|x/\d)/(norm|sample)")


def make_head(meta):
    section = meta["head"]
    return build(rpn_config(section, section["train_cfg"], section["test_cfg"]))


def stage_of_maps(meta, head, targets=None):
    predictions = {
        key: flatten_levels(
            [generated(meta, f"{name}/{level}") for level in range(len(SIZES))], per_prior=(size,)
        )
        for key, name, size in (("cls_logits", "rpn_cls", 1), ("box_deltas", "rpn_reg", 4))
    }
    return stage_of(head, predictions, head.priors.priors(SIZES), targets)


def as_maps(values, places):
    """[N, P, size] rows as the maps [N, A * size, H, W] of every level."""
    for (height, width), rows in zip(places.level_sizes, places.level_slices, strict=True):
        yield values[:, rows].reshape(len(values), height, width, -1).transpose(0, 3, 1, 2)


def assert_assigned(meta, arrays, head, stage, targets):
    places, assignment = stage.places, stage.assignment
    for level, stride in enumerate(places.level_strides):
        if f"out/base_anchors/{level}" in arrays:
            np.testing.assert_allclose(
                head.priors.base_anchors(stride), arrays[f"out/base_anchors/{level}"], atol=1e-4
            )
    assert [part.stop - part.start for part in places.level_slices] == arrays[
        "out/tgt/num_level_anchors"
    ].tolist()
    assert_sampled(meta, arrays, "out/tgt/anchors", places.boxes.numpy()[0], 1e-6)
    clear, inside = ~arrays["out/tgt/fragile"], arrays["out/tgt/inside"]
    # Theirs: -1 ignored or taking no part, 0 negative, else the box's number + 1.
    found = np.where(inside, np.maximum(assignment.gt_index.numpy() + 1, -1), -1)
    np.testing.assert_array_equal(found[clear], arrays["out/tgt/gt_inds"][clear])
    taken, positive = assignment.label_weights.numpy(), assignment.positive_mask.numpy()
    assert not taken[~inside].any()
    np.testing.assert_array_equal(taken, arrays["out/tgt/label_weights"])
    np.testing.assert_array_equal(taken * positive, arrays["out/tgt/bbox_weights"])
    is_taken = taken > 0
    np.testing.assert_array_equal(assignment.labels.numpy()[is_taken], arrays["out/tgt/labels"][is_taken])
    seen = inside & (arrays["out/tgt/gt_inds"] >= 0)
    np.testing.assert_allclose(
        assignment.max_iou.numpy()[seen], np.maximum(arrays["out/tgt/max_overlaps"][seen], 0), atol=1e-5
    )
    counts = (taken * positive).sum(1), (taken * (1 - positive)).sum(1)
    for name, count in zip(("pos", "neg"), counts, strict=True):
        assert np.maximum(count, 1).sum() == arrays[f"out/tgt/num_total_{name}"]
    for image in range(NUM_IMAGES):
        for name, chosen in (("pos", taken * positive), ("neg", taken * (1 - positive))):
            np.testing.assert_array_equal(
                np.flatnonzero(chosen[image]), arrays[f"in/sample/{name}_inds/{image}"]
            )
    wanted = head.boxes.encode(targets_or_places(places, assignment), places).numpy()
    rows = tuple(arrays["out/tgt/bbox_targets_pos/index"].T)
    np.testing.assert_allclose(wanted[rows], arrays["out/tgt/bbox_targets_pos"], rtol=1e-4, atol=1e-5)


@pytest.mark.golden
@pytest.mark.parametrize("name", [n for n in param_cases("t_rpn_head_*") if not str(n).endswith("forward")])
def test_training_equals_golden(name):
    meta, arrays = case(name)
    known_keys(arrays, *IN, *SAMPLE, *TARGETS, *LOSSES, *OUTPUTS)
    head, targets = make_head(meta), targets_of(arrays)
    stage = stage_of_maps(meta, head, targets)
    assert_assigned(meta, arrays, head, stage, targets)
    losses = head.losses(stage)
    for key, loss in losses.items():
        np.testing.assert_allclose(loss.item(), arrays[f"loss/{key}"].sum(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(sum(losses.values()).item(), arrays["loss/total"], rtol=1e-4)
    inputs = list(stage.predictions.values())
    for prefix, loss in (("", sum(losses.values())), *((f"{key}/", value) for key, value in losses.items())):
        for part, gradient in zip(("rpn_cls", "rpn_reg"), jt.grad(loss, inputs), strict=True):
            for level, x in enumerate(as_maps(gradient.numpy(), stage.places)):
                assert_sampled(meta, arrays, f"grad/{prefix}{part}/{level}", x, 1e-4)
    batch = batch_of(arrays, NUM_IMAGES)
    untrained = stage_of_maps(meta, head)
    for key, section in meta.get("proposal_cfg", {}).items():
        assert_proposals(head.proposals(untrained, batch["img_shapes"], limits(section)), arrays, key)


def assert_proposals(found, arrays, key):
    boxes, scores, mask = found.boxes.numpy(), found.scores.numpy(), found.mask.numpy()
    for image in range(NUM_IMAGES):
        expected = arrays[f"out/{key}/{image}"]
        count = len(expected)
        assert mask[image].sum() == count and (mask[image, :count] == 1).all()
        np.testing.assert_allclose(boxes[image, :count], expected[:, :4], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(scores[image, :count], expected[:, 4], atol=1e-5)
        assert not boxes[image, count:].any()


@pytest.mark.golden
def test_whole_head_equals_golden():
    meta, arrays = case("t_rpn_head_forward")
    known_keys(arrays, *IN, *SAMPLE, *OUTPUTS, *LOSSES[:1], *PARAMETERS)
    head, targets = make_head(meta), targets_of(arrays)
    assign_state(head, fill.state_dict(meta, "model"), what="golden weights")
    features = [generated(meta, f"x/{level}") for level in range(len(SIZES))]
    stage = head.stage(features, targets)
    for part, key in (("rpn_cls", "cls_logits"), ("rpn_reg", "box_deltas")):
        for level, x in enumerate(as_maps(stage.predictions[key].numpy(), stage.places)):
            assert_sampled(meta, arrays, f"out/{part}/{level}", x, 1e-4)
    losses = head.losses(stage)
    for key, loss in losses.items():
        np.testing.assert_allclose(loss.item(), arrays[f"loss/{key}"].sum(), rtol=1e-4)
    total = sum(losses.values())
    np.testing.assert_allclose(total.item(), arrays["loss/total"], rtol=1e-4)
    assert_parameters(meta, arrays, head, total)
    for level, gradient in enumerate(jt.grad(total, features)):
        assert_sampled(meta, arrays, f"grad/x/{level}", gradient.numpy(), 2e-3)
    proposals = head.proposals(head.stage(features), batch_of(arrays, NUM_IMAGES)["img_shapes"])
    assert_proposals(proposals, arrays, "proposals")


def test_unknown_normalizer_is_refused():
    meta, _ = case("t_rpn_head_forward")
    section = meta["head"]
    config = rpn_config(section, section["train_cfg"], section["test_cfg"])
    with pytest.raises(ConfigError, match="fixed"):
        build(config | {"normalizer": "fix"})
