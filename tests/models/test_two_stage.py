"""Faster R-CNN as a detector: its traces, its samples, and what distillation makes of its stages."""

import dataclasses

import numpy as np
import pytest

from jld.boxes.overlaps import pairwise_overlaps
from jld.distill import Step, build_distiller
from jld.errors import ConfigError
from jld.models import Targets, build_detector
from jld.toolchain import jittor as jt
from tests.models.golden_models import batch_of

NUM_CLASSES = 3
ARRAYS = {
    "in/gt_bboxes/0": np.float32([[4, 6, 40, 44], [30, 20, 60, 58], [10, 10, 10, 30]]),
    "in/gt_labels/0": np.array([0, 2, 1]),
    "in/img_shape/0": np.array([64, 60, 3]),
    "in/img_shape/1": np.array([50, 64, 3]),
    "in/pad_shape/0": np.array([64, 64, 3]),
    "in/pad_shape/1": np.array([64, 64, 3]),
}


def section(**bbox_head):
    """A small Faster R-CNN; `bbox_head` changes its box head."""
    cross_entropy = {"type": "CrossEntropyLoss"}
    assigner = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.5, "min_pos_iou": 0.3}
    return {
        "type": "FasterRCNN",
        "backbone": {"type": "ResNet", "depth": 18, "base_channels": 8},
        "neck": {"type": "FPN", "in_channels": [8, 16, 32, 64], "out_channels": 16, "num_outs": 5},
        "rpn_head": {
            "type": "RPNHead",
            "in_channels": 16,
            "feat_channels": 16,
            "priors": {
                "type": "AnchorGenerator",
                "strides": [4, 8, 16, 32, 64],
                "octave_base_scale": 4,
                "ratios": [0.5, 1.0, 2.0],
            },
            "assigner": assigner,
            "sampler": {"type": "RandomSampler", "num": 32},
            "box_coder": {"type": "DeltaBoxCoder"},
            "loss_cls": {**cross_entropy, "use_sigmoid": True},
            "loss_bbox": {"type": "L1Loss"},
            "train_nms_pre": 60,
            "train_max_proposals": 40,
            "test_nms_pre": 30,
            "test_max_proposals": 20,
        },
        "roi_head": {
            "type": "RoIHead",
            "assigner": {**assigner, "match_low_quality": False},
            "sampler": {"type": "RandomSampler", "num": 16, "pos_fraction": 0.25},
            "bbox_head": {
                "type": "BoxHead",
                "num_classes": NUM_CLASSES,
                "in_channels": 16,
                "fc_out_channels": 16,
                "box_coder": {"type": "DeltaBoxCoder"},
                "loss_cls": cross_entropy,
                "loss_bbox": {"type": "L1Loss"},
                "nms": {"type": "ClasswiseNMS", "iou_threshold": 0.5},
                "score_threshold": 0.0,
                "max_per_image": 7,
                **bbox_head,
            },
        },
    }


DISTRIBUTIONS = {"box_coder": None, "reg_max": 8, "class_agnostic": True, "loss_bbox": {"type": "GIoULoss"}}


@pytest.fixture(scope="module")
def scene():
    """(images, batch) of two images, the second without objects."""
    images = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    return images, batch_of(ARRAYS, 2)


@pytest.fixture(scope="module")
def detector():
    jt.set_seed(0)
    return build_detector(section())


@pytest.fixture(scope="module")
def step(detector, scene):
    images, batch = jt.array(scene[0]), scene[1]
    targets = Targets.from_batch(batch, 7, 3)
    features = detector.features(images)
    return Step(images, targets, detector, features, detector.predict(features, targets))


def test_a_trace_with_targets_holds_samples(step):
    rpn, roi = (step.trace.stages[name] for name in ("rpn", "roi"))
    assert rpn.assigned.label_weights.numpy().sum(1).tolist() == [32, 32]
    mask, index = roi.places.mask.numpy(), roi.assigned.gt_index.numpy()
    assert mask.shape == (2, 16) and roi.predictions["cls_logits"].shape == [2, 16, NUM_CLASSES + 1]
    assert roi.predictions["box_deltas"].shape == [2, 16, NUM_CLASSES, 4]
    # The objects' own boxes are RoIs, but not the one without width; the second image has none.
    assert {0, 1} <= set(index[0]) and 2 not in index[0] and (index[1] < 0).all()
    assert (roi.places.boxes.numpy()[mask == 0] == [0, 0, 1, 1]).all()
    overlaps = pairwise_overlaps(roi.places.boxes.numpy()[0], ARRAYS["in/gt_bboxes/0"]).max(1) * mask[0]
    np.testing.assert_allclose(roi.assigned.max_iou.numpy(), [overlaps, 0 * overlaps], atol=1e-6)
    assert roi.boxes().shape == [2, 16, 4] and roi.probabilities().shape == [2, 16, NUM_CLASSES]


def test_every_parameter_learns(detector, step):
    losses = detector.losses(step.trace, step.targets)
    assert set(losses) == {"loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox"}
    named = {
        name: var
        for name, var in detector.named_parameters()
        if not var.is_stop_grad() and "backbone" not in name
    }
    gradients = jt.grad(sum(losses.values()), [*named.values(), *step.features])
    still = {name for name, gradient in zip(named, gradients, strict=False) if not gradient.numpy().any()}
    # Of the few anchors of the coarsest maps none may have been drawn.
    assert still <= {"neck.fpn_convs.3.conv.weight", "neck.fpn_convs.3.conv.bias"}
    assert all(np.isfinite(gradient.numpy()).all() for gradient in gradients)


def test_an_image_is_sampled_the_same_alone_and_in_another_step_differently(detector, scene, step):
    alone = {key: value[1:] for key, value in scene[1].items()}

    def taken(*drawn_from):
        targets = Targets.from_batch(alone, *drawn_from)
        trace = detector.predict([x[1:] for x in step.features], targets)
        return trace.stages["rpn"].assigned.label_weights.numpy()[0]

    together = step.trace.stages["rpn"].assigned.label_weights.numpy()[1]
    np.testing.assert_array_equal(taken(7, 3), together)
    assert (taken(7, 4) != together).any()
    with pytest.raises(ValueError, match="no seeds"):
        detector.predict(step.features, dataclasses.replace(step.targets, seeds=None))


def test_a_batch_divided_over_processes_learns_the_same(detector, scene, step):
    """Each of two ranks has one image: the same RoIs, and losses whose mean is that of both together."""
    second = {"in/gt_bboxes/1": np.float32([[8, 8, 44, 40]]), "in/gt_labels/1": np.array([1])}
    batch = batch_of(ARRAYS | second, 2)

    def seen(images):
        targets = Targets.from_batch({key: value[images] for key, value in batch.items()}, 7, 3)
        trace = detector.predict([x[images] for x in step.features], targets)
        rois = trace.stages["roi"].places
        assert rois.mask.numpy().all()  # as many RoIs in each, so a rank's normaliser is a share of both's
        losses = {name: loss.item() for name, loss in detector.losses(trace, targets).items()}
        return rois.boxes.numpy(), losses

    (rois, together), *parts = (seen(images) for images in (slice(0, 2), slice(0, 1), slice(1, 2)))
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), rois)
    for name, loss in together.items():
        assert np.mean([part[1][name] for part in parts]) == pytest.approx(loss, rel=1e-5), name


def test_rois_without_width_or_height_leave_a_finite_loss(detector, step):
    """Clipping makes such boxes of what lies outside of the image."""
    boxes = step.rois.boxes.numpy().copy()
    boxes[:, -1], boxes[:, -2] = (60, 4, 60, 30), (8, 64, 30, 64)
    rois = detector.roi_head.pooler.places(jt.array(boxes), jt.ones(boxes.shape[:2]))
    trace = detector.predict(step.features, step.targets, rois=rois)
    loss = detector.losses(trace, step.targets)["loss_bbox"]
    gradient = jt.grad(loss, detector.roi_head.bbox_head.fc_reg.weight).numpy()
    assert np.isfinite(loss.item()) and loss.item() > 0 and np.isfinite(gradient).all() and gradient.any()


def test_given_rois_are_read_as_they_are(detector, step):
    own = step.trace.stages["roi"]
    given = detector.predict(step.features, rois=step.rois).stages["roi"]
    again = detector.predict(step.features, step.targets, rois=step.rois).stages["roi"]
    assert given.assignment is None
    for stage in (given, again):
        np.testing.assert_array_equal(stage.places.boxes.numpy(), own.places.boxes.numpy())
        np.testing.assert_allclose(
            stage.predictions["cls_logits"].numpy(), own.predictions["cls_logits"].numpy(), atol=1e-5
        )
    for name in ("gt_index", "labels", "label_weights"):
        np.testing.assert_array_equal(
            getattr(again.assigned, name).numpy(), getattr(own.assigned, name).numpy()
        )


def test_classes_change_their_order_in_the_stages_that_have_them(step):
    order = [2, 0, 1]
    other = step.trace.reordered(order)
    own, changed = step.trace.stages["roi"].predictions, other.stages["roi"].predictions
    np.testing.assert_array_equal(
        changed["cls_logits"].numpy(), own["cls_logits"].numpy()[:, :, [*order, NUM_CLASSES]]
    )
    np.testing.assert_array_equal(changed["box_deltas"].numpy(), own["box_deltas"].numpy()[:, :, order])
    rpn = other.stages["rpn"].predictions["cls_logits"].numpy()
    np.testing.assert_array_equal(rpn, step.trace.stages["rpn"].predictions["cls_logits"].numpy())


def test_detections_lie_within_their_images(detector, scene):
    images, batch = scene
    with jt.no_grad():
        found = detector.detect(detector(jt.array(images), batch["img_shapes"]), batch)
    for detections, (height, width) in zip(found, batch["img_shapes"], strict=True):
        assert 0 < len(detections["boxes"]) <= 7
        assert (detections["boxes"] >= 0).all() and (detections["boxes"] <= [width, height] * 2).all()


def test_masks_are_learnt_and_found(scene):
    config = section()
    config["roi_head"]["mask_head"] = {
        "type": "MaskHead",
        "num_classes": NUM_CLASSES,
        "in_channels": 16,
        "conv_out_channels": 16,
        "num_convs": 1,
        "loss_mask": {"type": "CrossEntropyLoss", "use_sigmoid": True},
    }
    detector = build_detector(config | {"type": "MaskRCNN"})
    assert list(detector.interface.stages) == ["rpn", "roi", "mask"]
    images, batch = jt.array(scene[0]), dict(scene[1])
    targets = Targets.from_batch(batch)
    features = detector.features(images)
    with pytest.raises(ValueError, match="with_masks=True"):
        detector.losses(detector.predict(features, targets), targets)
    batch["mask_bitmaps"] = np.zeros((*batch["box_mask"].shape, 64, 64), np.uint8)
    batch["mask_bitmaps"][0, 0, 10:40, 8:36] = batch["mask_bitmaps"][0, 1, 24:50, 33:56] = 1
    targets = Targets.from_batch(batch)
    trace = detector.predict(features, targets)
    mask = trace.stages["mask"]
    assert mask.predictions["mask_logits"].shape == [2, 4, NUM_CLASSES, 28, 28]
    positives = trace.stages["roi"].assigned.positive_mask.numpy()
    np.testing.assert_array_equal(mask.places.mask.numpy(), positives[:, :4])
    assert positives[0].sum() > 1 and not positives[:, 4:].any()
    loss = detector.losses(trace, targets)["loss_mask"]
    head = detector.roi_head.mask_head
    by_head, by_map = jt.grad(loss, [head.convs[0].conv.weight, features[0]])
    assert by_head.numpy().any() and by_map.numpy()[0].any() and not by_map.numpy()[1].any()
    batch |= {"scale_factors": np.full((2, 4), 2, np.float32), "ori_shapes": np.float32([[32, 30], [25, 32]])}
    with jt.no_grad():
        found = detector.detect(detector(images, batch["img_shapes"]), batch)
    for detections, size in zip(found, batch["ori_shapes"], strict=True):
        assert len(detections.masks) == len(detections.scores) > 0
        assert all(mask["size"] == size.tolist() for mask in detections.masks)


def distill(teacher, *terms):
    return {"teacher": {"config": {"model": teacher}, "checkpoint": None}, "terms": list(terms)}


def test_the_teacher_looks_at_the_students_rois(detector, scene, step):
    """Feature terms read the pyramid; terms of the stage `roi` compare the same RoIs."""
    distiller = build_distiller(
        distill(
            section(),
            {"type": "FeatureImitation", "region": "inside_gt", "adapter": None},
            {"type": "ClassificationKD", "region": "main", "stage": "roi", "weight": 1.0},
            {
                "type": "ClassificationKD",
                "region": "all",
                "stage": "rpn",
                "weight": 1.0,
                "name": "loss_kd_rpn",
            },
        ),
        detector,
    )
    losses = {name: value.item() for name, value in distiller(step).items()}
    assert len(losses) == 3 and all(value > 0 for value in losses.values())
    teacher = distiller.teacher(step).stages["roi"]
    np.testing.assert_array_equal(teacher.places.boxes.numpy(), step.rois.boxes.numpy())


def test_box_distributions_of_rois_are_distilled(scene):
    """The same weights on both sides give no loss, others do; the gradient reaches the box layer alone."""
    student = build_detector(section(**DISTRIBUTIONS))
    term = {"type": "LocalizationKD", "region": "main", "stage": "roi", "reduction": "mean"}
    distiller = build_distiller(distill(section(**DISTRIBUTIONS), term), student)
    images, targets = jt.array(scene[0]), Targets.from_batch(scene[1])
    features = student.features(images)
    step = Step(images, targets, student, features, student.predict(features, targets))
    task = student.losses(step.trace, targets)
    assert np.isfinite(task["loss_bbox"].item()) and task["loss_bbox"].item() > 0
    (loss,) = distiller(step).values()
    assert loss.item() > 0
    head = student.roi_head.bbox_head
    by_boxes, by_classes = jt.grad(loss, [head.fc_reg.weight, head.fc_cls.weight])
    assert by_boxes.numpy().any()
    # The weighting is the student's score, a constant.
    assert not by_classes.numpy().any()
    teacher = distiller.teacher.detector
    teacher.load_state_dict(student.state_dict())
    (loss,) = distiller(step).values()
    assert abs(loss.item()) < 1e-6


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"type": "LocalizationKD", "stage": "roi"}, "box_logits"),
        ({"type": "CrossKD"}, "towers"),
        ({"type": "ClassificationKD", "stage": "mask"}, "no stage 'mask'"),
        ({"type": "ClassificationKD", "stage": "roi", "region": "vlr"}, "region 'vlr' reads cells"),
        ({"type": "CWD", "stage": "roi"}, "the term reads cells"),
        ({"type": "BCKD", "stage": "roi"}, "softmax with background"),
        ({"type": "GID", "responses": ["rpn", "mask"]}, "no stage 'mask'"),
        ({"type": "CrossRoIKD", "stage": "rpn"}, "use CrossKD"),
        ({"type": "ClassificationKD", "stage": "roi", "activation": "sigmoid"}, "softmax with background"),
    ],
)
def test_what_cannot_be_distilled_is_refused_before_training(detector, term, message):
    with pytest.raises(ConfigError, match=message):
        build_distiller(distill(section(), term), detector)


def test_distances_of_rois_are_compared_on_equal_levels():
    """They are told in strides of the level, which a teacher may choose otherwise."""
    teacher = section(**DISTRIBUTIONS)
    teacher["roi_head"]["canonical_px"] = 448
    term = {"type": "LocalizationKD", "region": "main", "stage": "roi"}
    with pytest.raises(ConfigError, match="canonical_px"):
        build_distiller(distill(teacher, term), build_detector(section(**DISTRIBUTIONS)))


SIGMOID = {"type": "CrossEntropyLoss", "use_sigmoid": True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rpn_head": {"loss_cls": {"type": "CrossEntropyLoss"}}}, r"RPNHead\.loss_cls"),
        ({"rpn_head": {"loss_cls": {"type": "FocalLoss"}}}, r"RPNHead\.loss_cls"),
        (
            {"rpn_head": {"box_coder": {"type": "DeltaXYWHAOBBoxCoder", "angle_version": "le90"}}},
            r"rpn_head\.box_coder describes boxes by 5",
        ),
        ({"roi_head": {"bbox_head": {**section()["roi_head"]["bbox_head"], "loss_cls": SIGMOID}}}, "BoxHead"),
        ({"mask_head": {"num_classes": NUM_CLASSES + 1}}, "mask_head.num_classes is 4"),
        ({"mask_head": {"roi_feat_size": 40}}, "roi_feat_size is 40"),
        ({"mask_head": {"loss_mask": {"type": "CrossEntropyLoss"}}}, r"MaskHead\.loss_mask"),
        (
            {
                "mask_head": {},
                "roi_head": {"sampler": {"type": "RandomSampler", "num": 3, "pos_fraction": 0.25}},
            },
            "no positives",
        ),
    ],
)
def test_heads_that_could_not_learn_are_refused(change, message):
    config = section()
    for name in ("rpn_head", "roi_head"):
        config[name] |= change.get(name, {})
    if "mask_head" in change:
        head = {"type": "MaskHead", "num_classes": NUM_CLASSES, "in_channels": 16, "loss_mask": SIGMOID}
        config["roi_head"]["mask_head"] = head | change["mask_head"]
    with pytest.raises(ConfigError, match=message):
        build_detector(config)


def test_roi_head_reads_maps_that_there_are():
    config = section()
    config["roi_head"]["strides"] = [8, 16, 32, 64]
    with pytest.raises(ConfigError, match=r"roi_head\.strides"):
        build_detector(config)
