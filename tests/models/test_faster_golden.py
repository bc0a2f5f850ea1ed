"""Faster R-CNN from image to detections, and along three SGD steps, against the numbers of mmDetection."""

import numpy as np
import pytest

from jld.models import TwoStageDetector
from jld.optim import SGD
from jld.runner.loop import TrainingLoop
from jld.toolchain import jittor as jt
from tests.golden_cases import case, param_cases
from tests.models.golden_detections import assert_detections_match
from tests.models.golden_models import assert_sampled, batch_of, generated
from tests.models.golden_two_stage import (
    NUM_IMAGES,
    assert_parameters,
    build_faster,
    known_keys,
    proposals_of,
    targets_of,
)
from tests.models.test_rpn_golden import as_maps
from tests.runner.test_golden_sgd import RTOL, WEIGHT_RTOL, Batches

KEYS = (
    r"in/(gt_bboxes|gt_labels|img_shape|ori_shape|pad_shape|scale_factor|proposals|test/proposals)/\d",
    r"in/(sgd/\d/)?(rpn_)?sample/(pos_inds|neg_inds|pos_assigned_gt_inds)/\d",
    r"in/sgd/\d/proposals/\d",
    r"chk/.+",
    r"loss/(loss_rpn_cls|loss_rpn_bbox|loss_cls|loss_bbox|acc|total)",
    r"grad_norms",
    r"grad/[\w.]+/(norm|sample)",
    r"out/(backbone|fpn|rpn_cls|rpn_reg)/\d/(norm|sample)",
    r"out/num_pos",
    r"out/test/(bbox_feats|cls_score|bbox_pred)/(norm|sample)",
    r"out/det(_rescale)?/(boxes|labels)/\d",
    r"sgd/(acc|grad_norm|total|loss_\w+)",
    r"sgd/param/[\w.]+/(norm|sample)",
)


# The case of R-50 has the same heads, and a backbone that other cases cover.
@pytest.fixture(scope="module", params=param_cases("t_faster18_full*"))
def golden(request):
    meta, arrays = case(request.param)
    known_keys(arrays, *KEYS)
    return meta, arrays


@pytest.fixture(scope="module")
def model(golden):
    return build_faster(golden[0])


@pytest.fixture(scope="module")
def targets(golden):
    return targets_of(golden[1])


@pytest.fixture(scope="module")
def trace(golden, model, targets):
    """The trace of the stored proposals and samples."""
    meta, arrays = golden
    features = model.features(generated(meta, "img"))
    rois, _ = model.roi_head.sampled(proposals_of(arrays), targets)
    return model.predict(features, targets, rois=rois)


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
    batch = batch_of(arrays, NUM_IMAGES)
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
    }
    for key, shapes in (("det", batch), ("det_rescale", original)):
        for image, detections in enumerate(model.detect(found, shapes)):
            assert_detections_match(
                detections, arrays[f"out/{key}/boxes/{image}"], arrays[f"out/{key}/labels/{image}"]
            )


class GivenProposals(TwoStageDetector):
    """Reads the stored proposals of every step instead of its own."""

    arrays: dict
    step = 0

    def predict(self, features, targets=None, **kwargs):
        proposals = proposals_of(self.arrays, f"in/sgd/{self.step}/proposals")
        rois, _ = self.roi_head.sampled(proposals, targets)
        self.step += 1
        return super().predict(features, targets, rois=rois)


def test_three_steps_equal_golden(golden):
    meta, arrays = golden
    settings = dict(meta["sgd"])
    steps, max_norm = settings.pop("steps"), settings.pop("grad_clip")
    built = build_faster(meta)
    detector = GivenProposals(built.backbone, built.neck, built.rpn_head, built.roi_head)
    detector.arrays = arrays
    detector.train()
    images = generated(meta, "img").numpy()
    batch = {**batch_of(arrays, NUM_IMAGES), "images": images, "img_files": ["golden"] * NUM_IMAGES}
    optimizer = SGD(dict(detector.named_parameters()), grad_clip={"max_norm": max_norm}, **settings)
    loop = TrainingLoop(detector, Batches(batch), optimizer, max_iter=steps)
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
