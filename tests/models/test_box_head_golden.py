"""RoIHead and BoxHead against mmDetection: sampled proposals, losses with their gradients, detections."""

import dataclasses

import numpy as np
import pytest

from jld.errors import ConfigError
from jld.models import assign_state
from jld.models.trace import Stage
from jld.ops.nms import ClasswiseNMS
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill, param_cases
from tests.models.golden_models import assert_sampled, batch_of, generated
from tests.models.golden_two_stage import (
    NUM_IMAGES,
    TEST_CFG,
    assert_parameters,
    known_keys,
    proposals_of,
    roi_head_config,
    spread_over,
    targets_of,
)

KEYS = (
    r"in/(gt_bboxes|gt_labels|img_shape|ori_shape|pad_shape|scale_factor|proposals)/\d",
    r"in/sample/(pos_inds|neg_inds|pos_assigned_gt_inds)/\d",
    r"out/sample/(gt_inds|max_overlaps)/\d",
    r"out/(rois|cls_score|bbox_pred)",
    r"out/tgt/(labels|label_weights|bbox_targets|bbox_weights)",
    r"loss/(given/)?(loss_cls|loss_bbox|acc|total)",
    r"grad/given/(loss_cls|loss_bbox|total)/(cls_score|bbox_pred)(/norm|/sample)?",
    r"grad_norms",
    r"grad/[\w.]+/(norm|sample)",
    r"out/test/(rois|scores|rescale[01]/boxes|rescale[01]/\w+/(dets|labels))",
    r"chk/.+",
)


def make_head(meta):
    roi_head = build(roi_head_config(meta["head"], meta["train_cfg"], TEST_CFG))
    assign_state(roi_head.bbox_head, fill.state_dict(meta, "model"), what="golden weights")
    return roi_head


def assert_sample(arrays, roi_head, targets):
    """The stage's RoIs and assignment, and the slots that hold them."""
    proposals = proposals_of(arrays)
    _, alone = roi_head.given(roi_head.pooler.places(proposals.boxes, proposals.mask), targets)
    for image in range(NUM_IMAGES):
        count = len(arrays[f"out/sample/gt_inds/{image}"])
        found = alone.gt_index.numpy()[image, :count] + 1
        np.testing.assert_array_equal(found, arrays[f"out/sample/gt_inds/{image}"])
        np.testing.assert_allclose(
            alone.max_iou.numpy()[image, :count],
            np.maximum(arrays[f"out/sample/max_overlaps/{image}"], 0),
            atol=1e-5,
        )
    rois, assignment = roi_head.sampled(proposals, targets)
    mask = rois.mask.numpy()
    index = assignment.gt_index.numpy()
    for image in range(NUM_IMAGES):
        positives = arrays[f"in/sample/pos_assigned_gt_inds/{image}"]
        assert mask[image].sum() == len(positives) + len(arrays[f"in/sample/neg_inds/{image}"])
        np.testing.assert_array_equal(index[image, : len(positives)], positives)
        assert (index[image, len(positives) :] < 0).all()
    images = np.repeat(np.arange(NUM_IMAGES), mask.sum(1).astype(int))
    np.testing.assert_array_equal(images, arrays["out/rois"][:, 0])
    np.testing.assert_allclose(rois.boxes.numpy()[mask > 0], arrays["out/rois"][:, 1:], rtol=1e-6, atol=1e-4)
    return rois, assignment, mask


def assert_targets(arrays, head, rois, assignment, mask):
    real = mask > 0
    np.testing.assert_array_equal(assignment.labels.numpy()[real], arrays["out/tgt/labels"])
    np.testing.assert_array_equal(assignment.label_weights.numpy(), mask)
    np.testing.assert_array_equal(arrays["out/tgt/label_weights"], 1)
    positive = assignment.positive_mask.numpy()[real]
    np.testing.assert_array_equal(positive, arrays["out/tgt/bbox_weights"])
    wanted = head.boxes.encode(assignment.target_boxes, rois).numpy()[real]
    np.testing.assert_allclose(
        wanted[positive > 0], arrays["out/tgt/bbox_targets"][positive > 0], rtol=1e-4, atol=1e-4
    )


def accuracy(stage, mask):
    """Share of the RoIs whose likeliest class, background included, is the right one, in percent."""
    best = stage.predictions["cls_logits"].numpy()[mask > 0].argmax(1)
    return 100 * (best == stage.assignment.labels.numpy()[mask > 0]).mean()


def assert_losses(arrays, prefix, losses, stage, mask):
    for key, loss in losses.items():
        np.testing.assert_allclose(loss.item(), arrays[f"{prefix}{key}"], rtol=1e-4, atol=1e-6)
    total = sum(losses.values())
    np.testing.assert_allclose(total.item(), arrays[f"{prefix}total"], rtol=1e-4)
    np.testing.assert_allclose(accuracy(stage, mask), arrays[f"{prefix}acc"], rtol=1e-5)
    return total


@pytest.mark.golden
@pytest.mark.parametrize("name", param_cases("t_bbox_head_*"))
def test_training_equals_golden(name):
    meta, arrays = case(name)
    known_keys(arrays, *KEYS)
    roi_head, targets = make_head(meta), targets_of(arrays)
    head = roi_head.bbox_head
    rois, assignment, mask = assert_sample(arrays, roi_head, targets)
    assert_targets(arrays, head, rois, assignment, mask)
    crops = jt.array(spread_over(mask, generated(meta, "roi_feats").numpy()))
    predictions = head(crops.reshape(-1, *crops.shape[2:]), NUM_IMAGES)
    for key, golden in (("cls_logits", "cls_score"), ("box_deltas", "bbox_pred")):
        found = predictions[key].numpy()[mask > 0]
        np.testing.assert_allclose(
            found.reshape(len(found), -1), arrays[f"out/{golden}"], rtol=1e-4, atol=1e-5
        )
    stage = Stage(predictions, rois, head, assignment)
    total = assert_losses(arrays, "loss/", head.losses(stage), stage, mask)
    assert_parameters(meta, arrays, head, total)
    assert_sampled(meta, arrays, "grad/roi_feats", jt.grad(total, crops).numpy()[mask > 0], 1e-4)
    assert_given(meta, arrays, head, stage, mask)
    if "out/test/rois" in arrays:
        assert_detections(meta, arrays, head)


def assert_given(meta, arrays, head, stage, mask):
    """Losses and gradients of given scores and boxes."""
    given = {}
    for key, golden in (("cls_logits", "cls_score"), ("box_deltas", "bbox_pred")):
        rows = generated(meta, f"given/{golden}").numpy()
        given[key] = jt.array(spread_over(mask, rows.reshape(len(rows), *head.interface.shapes[key])))
    stage = dataclasses.replace(stage, predictions=given, _known={})
    losses = head.losses(stage)
    total = assert_losses(arrays, "loss/given/", losses, stage, mask)
    for term, loss in {**losses, "total": total}.items():
        for golden, gradient in zip(
            ("cls_score", "bbox_pred"), jt.grad(loss, list(given.values())), strict=True
        ):
            found, key = gradient.numpy(), f"grad/given/{term}/{golden}"
            assert not found[mask == 0].any()
            found = found[mask > 0].reshape(int(mask.sum()), -1)
            if key in arrays:
                limit = 1e-4 * np.abs(arrays[key]).max() + 1e-9
                np.testing.assert_allclose(found, arrays[key], rtol=0, atol=limit, err_msg=key)
            else:
                assert_sampled(meta, arrays, key, found, 1e-4)


def assert_detections(meta, arrays, head):
    rois = arrays["out/test/rois"]
    assert not rois[:, 0].any(), "all of the first image"
    predictions = {
        key: jt.array(
            fill.generate(meta["generated"][f"test/{golden}"]).reshape(
                1, len(rois), *head.interface.shapes[key]
            )
        )
        for key, golden in (("cls_logits", "cls_score"), ("box_deltas", "bbox_pred"))
    }
    places = make_head(meta).pooler.places(jt.array(rois[None, :, 1:]), jt.ones((1, len(rois))))
    stage = Stage(predictions, places, head)
    scores = stage.probabilities().numpy()[0]
    np.testing.assert_allclose(scores, arrays["out/test/scores"][:, :-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stage.confidence().numpy()[0], scores.max(1), rtol=1e-6)
    batch = {key: value[:1] for key, value in batch_of(arrays, NUM_IMAGES).items()}
    boxes = head.decode_all(predictions, places).numpy()
    rows = np.arange(len(rois)), 0 if head.class_agnostic else scores.argmax(1)
    np.testing.assert_allclose(stage.boxes().numpy()[0], boxes[0][rows], rtol=1e-5, atol=1e-4)
    for rescale, factors in ((0, np.ones((1, 4), np.float32)), (1, arrays["in/scale_factor/0"][None])):
        fitted = head.postprocess.fit_into(boxes[0], batch["img_shapes"][0]) / factors[0]
        np.testing.assert_allclose(
            fitted.reshape(len(rois), -1), arrays[f"out/test/rescale{rescale}/boxes"], rtol=1e-4, atol=1e-3
        )
        for name, section in meta["nms"].items():
            limited = dataclasses.replace(
                head.postprocess,
                score_threshold=section["score_thr"],
                nms=ClasswiseNMS(section["nms"]["iou_threshold"]),
                max_per_image=section["max_per_img"],
            )
            (found,) = limited.of_rois(scores[None], boxes, None, {**batch, "scale_factors": factors})
            prefix = f"out/test/rescale{rescale}/{name}"
            np.testing.assert_array_equal(found["labels"], arrays[f"{prefix}/labels"])
            np.testing.assert_allclose(found["scores"], arrays[f"{prefix}/dets"][:, 4], atol=1e-5)
            np.testing.assert_allclose(found["boxes"], arrays[f"{prefix}/dets"][:, :4], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("init", ["xavier", "c2_xavier"])
def test_initial_weights_fill_the_range_of_their_kind(init):
    meta, _ = case("t_bbox_head_agnostic")
    section = roi_head_config(meta["head"], meta["train_cfg"], TEST_CFG)["bbox_head"]
    head = build(section | {"init": init})
    weight = head.shared_fcs[0].weight.numpy()
    bound = np.sqrt(3 / weight.shape[1] if init == "c2_xavier" else 6 / sum(weight.shape))
    assert 0.95 * bound < np.abs(weight).max() <= bound and not head.shared_fcs[0].bias.numpy().any()
    assert 0.005 < head.fc_cls.weight.numpy().std() < 0.02
    with pytest.raises(ConfigError, match=r"BoxHead init 'c2'.*c2_xavier"):
        build(section | {"init": "c2"})


def test_distributions_are_for_all_classes():
    meta, _ = case("t_bbox_head_agnostic")
    section = roi_head_config(meta["head"], meta["train_cfg"], TEST_CFG)["bbox_head"]
    section |= {"box_coder": None, "reg_max": 16}
    assert build(section).interface.shapes["box_logits"] == (4, 17)
    with pytest.raises(ConfigError, match="class_agnostic"):
        build(section | {"class_agnostic": False})
