"""Regions against the reference's masks, the method card's tables and brute-force loops."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.assign import ATSSAssigner
from jld.assign.regions import (
    All,
    Background,
    FineGrained,
    GeneralInstance,
    InsideGT,
    MainRegion,
    ValuableLocalizationRegion,
)
from jld.boxes.priors import AnchorGenerator
from jld.errors import ConfigError
from jld.models.boxes import distances_or_bins
from jld.models.heads.dense_head import DenseHead
from jld.registry import REGIONS
from jld.toolchain import jittor as jt
from tests.assign import scenes
from tests.assign.golden_scenes import ASSIGNER_SETS, grid_of, head_scene, prediction_maps
from tests.golden_cases import case, param_cases
from tests.stages import stage_of

# Imitation methods of the reference and the region that each one's mask is.
METHODS = {"fitnet": InsideGT, "finegrained": FineGrained, "decouple": InsideGT}


def context_of(priors, targets, valid, num_classes=20, topk=9):
    assignment = ATSSAssigner(topk)(priors, targets, valid, num_classes)
    return SimpleNamespace(places=priors, targets=targets, valid_mask=valid, assignment=assignment)


def scene(boxes, pad_shapes, generator=scenes.SINGLE):
    pads = np.asarray(pad_shapes)
    priors = generator.priors(scenes.feature_sizes(*pads.max(0), generator.strides))
    targets = scenes.make_targets([np.asarray(b, np.float32).reshape(-1, 4) for b in boxes], pads)
    return context_of(priors, targets, priors.valid_mask(targets.pad_shapes))


def stage_on(context, predictions):
    """The stage of a head that predicts these class scores and box distributions."""
    head = DenseHead()
    head.boxes = distances_or_bins(predictions["box_logits"].shape[-1] - 1)
    return stage_of(head, predictions, context.places)


@pytest.mark.golden
@pytest.mark.parametrize("name", ASSIGNER_SETS)
@pytest.mark.parametrize("topk", [9, 4])
def test_golden_valuable_region(name, topk):
    _, arrays = case("h_assigners")
    generator, sizes, pad_shape = grid_of(arrays)
    priors = generator.priors(sizes)
    targets = scenes.make_targets(
        [arrays[f"in/gt_bboxes/{name}"]], [pad_shape], [arrays[f"in/gt_labels/{name}"]]
    )
    context = context_of(priors, targets, priors.valid_mask(targets.pad_shapes), topk=topk)
    got = ValuableLocalizationRegion()(context).numpy()[0]
    key = f"out/{name}/atss{topk}/vlr"
    if key not in arrays:  # the reference stops without ground truth
        assert len(arrays[f"in/gt_bboxes/{name}"]) == 0
        assert not got.any()
        return
    np.testing.assert_allclose(got, arrays[key], rtol=1e-5, atol=1e-6)


@pytest.mark.golden
@pytest.mark.parametrize("name", param_cases("h_ld_loss_*"))
def test_golden_head_regions(name):
    meta, arrays = case(name)
    context = context_of(*head_scene(meta, arrays))
    valuable = ValuableLocalizationRegion()(context).numpy()
    if "out/tgt/vlr_region" not in arrays:
        assert meta["raises"]  # an image without ground truth stops the reference; here it has no region
        empty = context.targets.mask.numpy().sum(1) == 0
        assert empty.any() and not valuable[empty].any()
        return
    method = meta["head"]["imitation_method"]
    np.testing.assert_allclose(valuable, arrays["out/tgt/vlr_region"], rtol=1e-5, atol=1e-6)
    if method != "gibox":
        np.testing.assert_array_equal(METHODS[method]()(context).numpy(), arrays["out/tgt/im_region"])
        return
    context.student, context.teacher = (
        stage_on(context, prediction_maps(meta, prefix)) for prefix in ("", "teacher_")
    )
    # The file's indices were taken with every cell's anchor in its place, padding included.
    context.valid_mask = jt.ones_like(context.valid_mask)
    chosen = GeneralInstance(thinning="batch")(context).numpy() > 0
    for level, section in enumerate(context.places.level_slices):
        expected = np.sort(arrays[f"out/gi_index/{level}"])
        np.testing.assert_array_equal(np.flatnonzero(chosen[:, section]), expected)


ONE, TWO, LARGE = (
    [(40, 32, 200, 160)], [(40, 32, 200, 160), (150, 100, 250, 220)], [(300, 200, 700, 600)],
)  # fmt: skip
CARD = [
    ("iof", (256, 320), ONE, [166, 82, 41, 0, 0], 40.98723),
    ("iof", (256, 320), TWO, [297, 134, 52, 0, 0], 72.85552),
    ("iof", (800, 1344), LARGE, [514, 253, 106, 59, 16], 48.11978),
    ("diou", (256, 320), ONE, [119, 66, 36, 0, 0], 55.44029),
    ("diou", (256, 320), TWO, [238, 100, 49, 0, 0], 103.07189),
    ("diou", (800, 1344), LARGE, [0, 0, 116, 48, 16], 53.02877),
]


@pytest.mark.parametrize(("gate", "shape", "boxes", "counts", "total"), CARD)
def test_card_tables(gate, shape, boxes, counts, total):
    context = scene([boxes], [shape])
    weights = ValuableLocalizationRegion(gate=gate)(context).numpy()[0]
    assert [(weights[section] > 0).sum() for section in context.places.level_slices] == counts
    np.testing.assert_allclose(
        weights.sum(dtype=np.float64), total, atol=2e-4
    )  # a sum of hundreds in float32


RETINA = AnchorGenerator((8, 16, 32), octave_base_scale=4, scales_per_octave=3, ratios=(0.5, 1.0, 2.0))


@pytest.mark.parametrize("generator", [scenes.SINGLE, RETINA])
def test_regions_match_loops(generator):
    rng = np.random.default_rng(8)
    shape, pads = (128, 192), [(128, 192), (96, 192), (128, 64)]
    boxes = [scenes.random_boxes(rng, count, *shape) for count in (7, 1, 0)]
    context = scene(boxes, pads, generator)
    valid = context.valid_mask.numpy() > 0
    priors = context.places.boxes.numpy()[0]
    thresholds = context.assignment.gt_thresholds.numpy()
    got = {
        region: region(context).numpy()
        for region in (
            ValuableLocalizationRegion(),
            InsideGT(),
            Background(),
            FineGrained(),
            All(),
            MainRegion(),
        )
    }
    for i, gts in enumerate(boxes):
        expected = loop_regions(priors, gts, valid[i], thresholds[i])
        for region, weights in got.items():
            name = type(region).__name__
            if name in expected:
                np.testing.assert_allclose(weights[i], expected[name], atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(got[next(r for r in got if isinstance(r, All))], valid)


def loop_regions(priors, gts, valid, thresholds):
    centers = (priors[:, :2] + priors[:, 2:]) / 2
    valuable, inside, fine = (np.zeros(len(priors)) for _ in range(3))
    for gt, threshold in zip(gts, thresholds, strict=False):
        iou, gate = (scenes.overlaps(priors, gt[None], mode)[:, 0] for mode in ("iou", "gate_iof"))
        band = (gate >= 0.25 * threshold) & (gate < threshold)
        valuable = np.maximum(valuable, iou * band)
        inside = np.maximum(inside, ((centers > gt[:2]) & (centers < gt[2:])).all(1))
        fine = np.maximum(fine, iou > 0.5 * (iou * valid).max())
    return {
        "ValuableLocalizationRegion": valuable * valid, "InsideGT": inside * valid,
        "Background": (1 - inside) * valid, "FineGrained": fine * valid,
    }  # fmt: skip


def test_excluding_main_removes_positives_and_nothing_else():
    context = scene([TWO], [(256, 320)])
    full = ValuableLocalizationRegion()(context).numpy()
    without = ValuableLocalizationRegion(exclude_main=True)(context).numpy()
    positive = context.assignment.positive_mask.numpy() > 0
    assert (full[positive] > 0).any()
    np.testing.assert_array_equal(without, np.where(positive, 0, full))
    np.testing.assert_array_equal(MainRegion()(context).numpy() > 0, positive)


def test_valuable_region_makes_thresholds_where_the_assigner_has_none():
    context = scene([TWO, []], [(256, 320), (128, 320)])
    expected = ValuableLocalizationRegion()(context).numpy()
    context.assignment = SimpleNamespace(gt_thresholds=None)
    np.testing.assert_array_equal(ValuableLocalizationRegion()(context).numpy(), expected)


def test_general_instance_drops_overlapping_locations():
    """Two priors with one box each, nearly the same: only the one with the larger score difference stays."""
    context = scene([ONE], [(32, 32)], AnchorGenerator((8,)))
    count = len(context.places)
    teacher_scores = np.full((1, count, 2), -20, np.float32)
    teacher_scores[0, 5, 1], teacher_scores[0, 6, 1], teacher_scores[0, 0, 0] = 3, 2, 1
    sides = np.zeros((1, count, 4, 9), np.float32)
    sides[:, :, :, 4] = 50  # every box reaches 4 strides to each side ...
    sides[0, 0] = 0
    sides[0, 0, :, 0] = 50  # ... but that of prior 0 is a point
    maps = {"cls_logits": jt.array(teacher_scores), "box_logits": jt.array(sides)}
    context.teacher = stage_on(context, maps)
    student = {"cls_logits": jt.full((1, count, 2), -20.0), "box_logits": jt.array(sides)}
    context.student = stage_on(context, student)
    chosen = GeneralInstance(topk=2)(context).numpy()[0]
    np.testing.assert_array_equal(np.flatnonzero(chosen), [0, 5])


def test_general_instance_thins_images_apart_or_together():
    """Per image a region does not depend on its company; together, images share the places and collide."""
    rng = np.random.default_rng(2)
    context = scene([ONE, ONE], [(64, 64), (64, 64)], AnchorGenerator((8, 16)))
    count = len(context.places)

    def stage():
        logits, box_logits = rng.normal(size=(2, count, 3)), rng.normal(size=(2, count, 4, 9)) * 3
        values = {"cls_logits": logits, "box_logits": box_logits}
        return stage_on(context, {key: jt.array(value.astype(np.float32)) for key, value in values.items()})

    context.student, context.teacher = stage(), stage()
    apart = GeneralInstance()(context).numpy()
    together = GeneralInstance(thinning="batch")(context).numpy()
    for image in range(2):
        alone = SimpleNamespace(places=context.places, valid_mask=context.valid_mask[image : image + 1])
        for role in ("student", "teacher"):
            whole = getattr(context, role).predictions
            part = {key: value[image : image + 1] for key, value in whole.items()}
            setattr(alone, role, stage_on(context, part))
        np.testing.assert_array_equal(apart[image], GeneralInstance()(alone).numpy()[0])
    assert together.sum() < apart.sum()


def test_options_are_checked_and_names_registered():
    with pytest.raises(ConfigError, match="did you mean 'diou'"):
        ValuableLocalizationRegion(gate="dio")
    with pytest.raises(ConfigError, match="gamma"):
        ValuableLocalizationRegion(gamma=1.0)
    with pytest.raises(ConfigError, match="threshold"):
        FineGrained(threshold=0)
    with pytest.raises(ConfigError, match="'batch' or 'image'"):
        GeneralInstance(thinning="images")
    with pytest.raises(ConfigError, match="'excluded' or 'included'"):
        All(padding="include")
    short = {"main", "vlr", "inside_gt", "fine_grained", "gi", "all", "background"}
    assert short <= set(REGIONS.names())
