"""Faster and Mask R-CNN from image to detections, and along three SGD steps, against mmDetection."""

import numpy as np
import pytest

from jld.boxes.masks import to_bitmap
from jld.boxes.overlaps import pairwise_overlaps
from jld.models import Targets
from jld.models.heads import RPNHead
from jld.optim import SGD
from jld.runner.loop import TrainingLoop
from jld.toolchain import jittor as jt
from tests.golden_cases import case, param_cases
from tests.models.golden_detections import assert_detections_match
from tests.models.golden_models import assert_sampled, generated
from tests.models.golden_two_stage import (
    NUM_IMAGES,
    assert_parameters,
    build_whole,
    known_keys,
    proposals_of,
    unpacked,
    whole_batch,
)
from tests.models.test_rpn_golden import as_maps
from tests.runner.test_golden_sgd import RTOL, WEIGHT_RTOL, Batches

KEYS = (
    r"in/(gt_bboxes|gt_labels|img_shape|ori_shape|pad_shape|scale_factor|proposals|test/proposals)/\d",
    r"in/gt_(masks|polygons)/.+",
    r"in/(sgd/\d/)?(rpn_)?sample/(pos_inds|neg_inds|pos_assigned_gt_inds)/\d",
    r"in/sgd/\d/proposals/\d",
    r"chk/.+",
    r"loss/(loss_rpn_cls|loss_rpn_bbox|loss_cls|loss_bbox|loss_mask|acc|total)",
    r"grad_norms",
    r"grad/[\w.]+/(norm|sample)",
    r"out/(backbone|fpn|rpn_cls|rpn_reg)/\d/(norm|sample)",
    r"out/num_pos",
    r"out/test/(bbox_feats|cls_score|bbox_pred)/(norm|sample)",
    r"out/det(_rescale)?/(boxes|labels|masks)/\d",
    r"sgd/(acc|grad_norm|total|loss_\w+)",
    r"sgd/param/[\w.]+/(norm|sample)",
)


# The case of R-50 has the same heads, and a backbone that other cases cover.
@pytest.fixture(scope="module", params=[*param_cases("t_faster18_full*"), *param_cases("t_mask_full*")])
def golden(request):
    meta, arrays = case(request.param)
    known_keys(arrays, *KEYS)
    return meta, arrays


@pytest.fixture(scope="module")
def model(golden):
    return build_whole(golden[0])


@pytest.fixture(scope="module")
def targets(golden):
    return Targets.from_batch(whole_batch(*golden))


@pytest.fixture(scope="module")
def trace(golden, model, targets):
    """The trace of the stored proposals, whose samples are spread as the stored ones are."""
    meta, arrays = golden
    features = model.features(generated(meta, "img"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RPNHead, "proposals", lambda *_: proposals_of(arrays))
        return model.predict(features, targets)


def test_maps_equal_golden(golden, model, trace):
    meta, arrays = golden
    with jt.no_grad():
        maps = model.backbone(generated(meta, "img"))
    for key, found in (("backbone", maps), ("fpn", trace.features)):
        assert len(found) == sum(f"out/{key}/{level}/norm" in arrays for level in range(9))
        for level, x in enumerate(found):
            assert_sampled(meta, arrays, f"out/{key}/{level}", x.numpy(), 1e-4)
    stage = trace.stages["rpn"]
    for part, key in (("rpn_cls", "cls_logits"), ("rpn_reg", "box_deltas")):
        for level, x in enumerate(as_maps(stage.predictions[key].numpy(), stage.places)):
            assert_sampled(meta, arrays, f"out/{part}/{level}", x, 1e-4)


def test_losses_and_gradients_equal_golden(golden, model, trace, targets):
    meta, arrays = golden
    positives = trace.stages["roi"].assignment.positive_mask.numpy().sum(1)
    np.testing.assert_array_equal(positives, arrays["out/num_pos"])
    losses = model.losses(trace, targets)
    assert {f"loss/{name}" for name in losses} == {key for key in arrays if key.startswith("loss/loss_")}
    for name, loss in losses.items():
        np.testing.assert_allclose(loss.item(), arrays[f"loss/{name}"].sum(), rtol=5e-4)
    total = sum(losses.values())
    np.testing.assert_allclose(total.item(), arrays["loss/total"], rtol=5e-4)
    assert_parameters(meta, arrays, model, total)


def test_detections_equal_golden(golden, model, trace):
    meta, arrays = golden
    batch = whole_batch(*golden)
    with jt.no_grad():
        own = model.predict(trace.features, image_shapes=batch["img_shapes"])
        given = proposals_of(arrays, "in/test/proposals")
        boxes, mask = own.stages["roi"].places.boxes.numpy(), own.stages["roi"].places.mask.numpy()
        # Nearly equal scores may change places: compared as sets.
        for image in range(NUM_IMAGES):
            expected = arrays[f"in/test/proposals/{image}"][:, :4]
            assert mask[image].sum() == len(expected)
            distances = np.abs(boxes[image][None] - expected[:, None]).max(2).min(1)
            assert (distances < 0.05).mean() > 0.98
        pooled = model.roi_head.pooler.places(given.boxes, given.mask)
        found = model.predict(trace.features, rois=pooled, image_shapes=batch["img_shapes"])
    stage, real = found.stages["roi"], given.mask.numpy() > 0
    crops = (
        model.roi_head.pooler.crops(trace.features, stage.places, 7).numpy().reshape(*real.shape, 256, 7, 7)
    )
    assert_sampled(meta, arrays, "out/test/bbox_feats", crops[real], 1e-4)
    for key, golden_key in (("cls_logits", "cls_score"), ("box_deltas", "bbox_pred")):
        rows = stage.predictions[key].numpy()[real]
        assert_sampled(meta, arrays, f"out/test/{golden_key}", rows.reshape(len(rows), -1), 1e-4)
    original = {
        **batch,
        "scale_factors": np.stack([arrays[f"in/scale_factor/{i}"] for i in range(NUM_IMAGES)]),
        "ori_shapes": np.stack([arrays[f"in/ori_shape/{i}"][:2] for i in range(NUM_IMAGES)]),
    }
    batch["ori_shapes"] = batch["img_shapes"]
    for key, shapes in (("det", batch), ("det_rescale", original)):
        for image, detections in enumerate(model.detect(found, shapes)):
            assert_detections_match(
                detections, arrays[f"out/{key}/boxes/{image}"], arrays[f"out/{key}/labels/{image}"]
            )
            if f"out/{key}/masks/{image}" in arrays:
                expected = unpacked(meta, arrays, f"out/{key}/masks/{image}")
                assert_masks_match(detections, arrays[f"out/{key}/boxes/{image}"], expected)


def assert_masks_match(found, boxes, expected):
    """The masks of 98 % of the expected boxes have nearly all pixels; the others may be at the threshold."""
    partners = pairwise_overlaps(boxes[:, :4], found["boxes"]).argmax(1)
    masks = np.stack([to_bitmap(found.masks[partner]) for partner in partners])
    assert masks.shape == expected.shape
    shared, either = (masks & expected).sum((1, 2)), (masks | expected).sum((1, 2))
    assert (shared >= 0.98 * either).mean() >= 0.98


def test_three_steps_equal_golden(golden, monkeypatch):
    meta, arrays = golden
    settings = dict(meta["sgd"])
    steps, max_norm = settings.pop("steps"), settings.pop("grad_clip")
    detector, images = build_whole(meta), generated(meta, "img").numpy()
    batch = {**whole_batch(meta, arrays), "images": images, "img_files": ["golden"] * NUM_IMAGES}
    optimizer = SGD(dict(detector.named_parameters()), grad_clip={"max_norm": max_norm}, **settings)
    loop = TrainingLoop(detector, Batches(batch), optimizer, max_iter=steps)
    stored = [proposals_of(arrays, f"in/sgd/{step}/proposals") for step in range(steps)]
    monkeypatch.setattr(RPNHead, "proposals", lambda *_: stored[loop.iteration])
    loop.run()
    loop.history.fetch()
    for step, record in enumerate(loop.history.records):
        for key, value in record.values.items():
            golden_key = "sgd/total" if key == "total_loss" else f"sgd/{key}"
            np.testing.assert_allclose(
                value, arrays[golden_key][step], rtol=RTOL[step], atol=1e-5, err_msg=key
            )
    params = dict(detector.named_parameters())
    compared = [key for key in meta["sampled"] if key.startswith("sgd/param/")]
    assert compared
    for key in compared:
        assert_sampled(meta, arrays, key, params[key.removeprefix("sgd/param/")].numpy(), WEIGHT_RTOL)
