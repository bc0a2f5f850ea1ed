"""ATSS against the reference's numbers, the method card's fixtures and a NumPy twin."""

import numpy as np
import pytest

from jld.assign import ATSSAssigner
from jld.boxes.priors import AnchorGenerator
from jld.errors import ConfigError
from tests.assign import scenes
from tests.assign.golden_scenes import ASSIGNER_SETS, grid_of, head_scene
from tests.golden_cases import case, param_cases

NUM_CLASSES = 20


def run(generator, sizes, boxes, pad_shapes, topk=9, ignore=None, thr=-1.0):
    priors = generator.priors(sizes)
    targets = scenes.make_targets(boxes, pad_shapes, ignore=ignore)
    valid = priors.valid_mask(targets.pad_shapes)
    return priors, valid, ATSSAssigner(topk, thr)(priors, targets, valid, NUM_CLASSES)


@pytest.mark.golden
@pytest.mark.parametrize("name", ASSIGNER_SETS)
@pytest.mark.parametrize("topk", [9, 4])
def test_golden_assigner(name, topk):
    _, arrays = case("h_assigners")
    generator, sizes, pad_shape = grid_of(arrays)
    boxes, labels = arrays[f"in/gt_bboxes/{name}"], arrays[f"in/gt_labels/{name}"]
    priors = generator.priors(sizes)
    np.testing.assert_allclose(priors.boxes.numpy()[0], arrays["out/anchors"], atol=1e-4)
    targets = scenes.make_targets([boxes], [pad_shape], [labels])
    valid = priors.valid_mask(targets.pad_shapes)
    got = ATSSAssigner(topk)(priors, targets, valid, NUM_CLASSES)
    prefix = f"out/{name}/atss{topk}/"
    sure = ~arrays[prefix + "fragile"]
    np.testing.assert_array_equal(got.gt_index.numpy()[0][sure], arrays[prefix + "gt_inds"][sure] - 1)
    expected_labels = arrays[prefix + "labels"]
    expected_labels = np.where(expected_labels < 0, NUM_CLASSES, expected_labels)
    np.testing.assert_array_equal(got.labels.numpy()[0][sure], expected_labels[sure])
    overlaps = np.maximum(arrays[prefix + "max_overlaps"], 0)  # the reference marks "no box" by -1e8
    np.testing.assert_allclose(got.max_iou.numpy()[0][sure], overlaps[sure], rtol=1e-5, atol=1e-6)


@pytest.mark.golden
@pytest.mark.parametrize("name", [*param_cases("h_gfl_loss_*"), *param_cases("h_ld_loss_*")])
def test_golden_head_targets(name):
    meta, arrays = case(name)
    priors, targets, valid, num_classes = head_scene(meta, arrays)
    assigner = dict(meta["head"]["train_cfg"]["assigner"])
    assert assigner.pop("type") == "ATSSAssigner"
    got = ATSSAssigner(**assigner)(priors, targets, valid, num_classes)
    if "out/tgt/labels" not in arrays:  # the reference stops on a batch with an image without boxes
        empty = targets.mask.numpy().sum(1) == 0
        assert meta["raises"] and empty.any()
        assert (got.gt_index.numpy()[empty] == -1).all()
        return
    sure = ~arrays["out/tgt/fragile"]
    for key, value in (("labels", got.labels), ("label_weights", got.label_weights), ("valid", valid)):
        np.testing.assert_array_equal(value.numpy()[sure], arrays["out/tgt/" + key][sure], err_msg=key)
    positive = (got.positive_mask.numpy() > 0) & sure
    np.testing.assert_array_equal(
        got.target_boxes.numpy()[positive], arrays["out/tgt/bbox_targets"][positive]
    )
    assert not got.target_boxes.numpy()[got.positive_mask.numpy() == 0].any()
    if sure.all():
        assert got.num_total_pos.item() == arrays["out/tgt/num_total_pos"]


CARD = [  # feature map's image, boxes, t_g, positives per level
    ((256, 320), [(40, 32, 200, 160)], [0.515265], [0, 9, 0, 0, 0]),
    ((256, 320), [(40, 32, 200, 160), (150, 100, 250, 220)], [0.515265, 0.488556], [0, 18, 0, 0, 0]),
    ((800, 1344), [(300, 200, 700, 600)], [0.462757], [0, 0, 0, 9, 0]),
]


@pytest.mark.parametrize(("shape", "boxes", "thresholds", "counts"), CARD)
def test_card_fixtures(shape, boxes, thresholds, counts):
    priors, _, got = run(scenes.SINGLE, scenes.feature_sizes(*shape), [np.array(boxes, np.float32)], [shape])
    np.testing.assert_allclose(got.gt_thresholds.numpy()[0, : len(boxes)], thresholds, atol=1e-6)
    positive = got.positive_mask.numpy()[0]
    assert [positive[section].sum() for section in priors.level_slices] == counts


RETINA = AnchorGenerator((8, 16, 32), octave_base_scale=4, scales_per_octave=3, ratios=(0.5, 1.0, 2.0))
SHIFTED = AnchorGenerator((4, 8), center_offset=0.5)


@pytest.mark.parametrize(
    ("generator", "topk"), [(scenes.SINGLE, 9), (scenes.SINGLE, 4), (RETINA, 9), (RETINA, 13), (SHIFTED, 5)]
)
def test_random_batches_match_the_twin(generator, topk):
    rng = np.random.default_rng(3)
    for shape, pads in (
        ((96, 160), [(96, 160), (64, 160), (96, 32)]),
        ((256, 64), [(256, 64), (32, 64), (224, 64)]),
    ):
        sizes = scenes.feature_sizes(*shape, generator.strides)
        boxes = [scenes.random_boxes(rng, count, *shape) for count in (0, 1, 25)]
        priors, valid, got = run(generator, sizes, boxes, pads, topk)
        compare_with_twin(priors, valid.numpy() > 0, got, boxes, topk)


def test_ignored_priors_match_the_twin():
    rng = np.random.default_rng(4)
    shape, pads = (128, 192), [(128, 192), (96, 192)]
    boxes = [scenes.random_boxes(rng, count, *shape) for count in (6, 3)]
    ignore = [
        np.array([[30, 20, 150, 110]], np.float32),
        np.array([[0, 0, 40, 40], [90, 10, 180, 90]], np.float32),
    ]
    priors, valid, got = run(scenes.SINGLE, scenes.feature_sizes(*shape), boxes, pads, ignore=ignore, thr=0.5)
    ignored = [scenes.overlaps(priors.boxes.numpy()[0], b, "iof").max(1) > 0.5 for b in ignore]
    assert all(mask.any() for mask in ignored)
    compare_with_twin(priors, valid.numpy() > 0, got, boxes, 9, ignored)


def compare_with_twin(priors, valid, got, boxes, topk, ignored=None):
    prior_boxes = priors.boxes.numpy()[0]
    thresholds, index = got.gt_thresholds.numpy(), got.gt_index.numpy()
    for i, gts in enumerate(boxes):
        out = None if ignored is None else ignored[i]
        expected, expected_t, candidates = scenes.atss_twin(
            prior_boxes, priors.level_slices, gts, valid[i], topk, out
        )
        if out is not None:
            expected = np.where((expected < 0) & out, -2, expected)
        finite = np.isfinite(expected_t)
        np.testing.assert_allclose(
            thresholds[i, : len(gts)][finite], expected_t[finite], rtol=1e-5, atol=1e-6
        )
        # A prior whose IoU meets t_g to rounding may go either way.
        iou = scenes.overlaps(prior_boxes, gts)
        fragile = (candidates.T & (np.abs(iou - expected_t) < 1e-6) & (iou > 0)).any(1)
        assert fragile.sum() <= 2
        np.testing.assert_array_equal(index[i][~fragile], expected[~fragile])
        assert not got.positive_mask.numpy()[i][~valid[i]].any()
        assert not got.label_weights.numpy()[i][~valid[i]].any()


def test_image_without_boxes_is_all_negative():
    _, valid, got = run(scenes.SINGLE, scenes.feature_sizes(64, 64), [np.zeros((0, 4))] * 2, [(64, 64)] * 2)
    assert (got.gt_index.numpy() == -1).all() and (got.labels.numpy() == NUM_CLASSES).all()
    assert got.num_total_pos.item() == 2  # each image counts as one
    np.testing.assert_array_equal(got.label_weights.numpy(), valid.numpy())


def test_duplicate_box_goes_to_the_first():
    box = np.array([[20, 20, 84, 84], [20, 20, 84, 84]], np.float32)
    _, _, got = run(scenes.SINGLE, scenes.feature_sizes(128, 128), [box], [(128, 128)])
    index = got.gt_index.numpy()
    assert (index == 0).any() and not (index == 1).any()


def test_topk_must_be_positive():
    with pytest.raises(ConfigError, match="topk"):
        ATSSAssigner(topk=0)
