"""RPN, box head and mask head against detectron2: its matching, normaliser and limits are options."""

import re

import numpy as np
import pytest

from jld.assign.sampling import Sample
from jld.boxes.places import Places
from jld.models import TwoStageDetector, assign_state
from jld.models.trace import Stage
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.golden_cases import case, fill
from tests.models.golden_detections import assert_detections_match
from tests.models.golden_models import assert_sampled, generated
from tests.models.golden_two_stage import NUM_IMAGES, spread_over
from tests.models.test_rpn_golden import as_maps

RENAMES = (
    (r"^proposal_generator\.rpn_head\.conv\.", "rpn_head.rpn_conv."),
    (r"^proposal_generator\.rpn_head\.objectness_logits\.", "rpn_head.rpn_cls."),
    (r"^proposal_generator\.rpn_head\.anchor_deltas\.", "rpn_head.rpn_reg."),
    (r"^roi_heads\.box_head\.fc1\.", "roi_head.bbox_head.shared_fcs.0."),
    (r"^roi_heads\.box_head\.fc2\.", "roi_head.bbox_head.shared_fcs.1."),
    (r"^roi_heads\.box_predictor\.cls_score\.", "roi_head.bbox_head.fc_cls."),
    (r"^roi_heads\.box_predictor\.bbox_pred\.", "roi_head.bbox_head.fc_reg."),
    (r"^roi_heads\.mask_head\.mask_fcn1\.", "roi_head.mask_head.convs.0.conv."),
    (r"^roi_heads\.mask_head\.mask_fcn2\.", "roi_head.mask_head.convs.1.conv."),
    (r"^roi_heads\.mask_head\.mask_fcn3\.", "roi_head.mask_head.convs.2.conv."),
    (r"^roi_heads\.mask_head\.mask_fcn4\.", "roi_head.mask_head.convs.3.conv."),
    (r"^roi_heads\.mask_head\.deconv\.", "roi_head.mask_head.upsample."),
    (r"^roi_heads\.mask_head\.predictor\.", "roi_head.mask_head.conv_logits."),
)


# The cell of `l_mask_default` that lies on the kink of the first ReLU: number of the positive RoI, channel,
# row, column. In float64 it is 1e-8, beside 0.6 on average: rounding decides whether its gradient passes.
KINK = (3, 26, 6, 8)


def our_name(name):
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


class GivenSampler:
    """Takes what the reference has drawn."""

    most_positives = 0

    def __init__(self, labels, num):
        self.labels, self.num = labels, num

    def __call__(self, assignment, seeds):
        chosen = jt.array((self.labels >= 0).astype(np.float32))
        return Sample(jt.zeros((len(self.labels), self.num), "int32"), chosen)


def rpn_section(settings):
    return {
        "type": "RPNHead",
        "in_channels": 64,
        "feat_channels": 64,
        "priors": {
            "type": "AnchorGenerator",
            "strides": settings["strides"],
            "octave_base_scale": 8,
            "ratios": [0.5, 1.0, 2.0],
        },
        "assigner": {
            "type": "MaxIoUAssigner",
            "pos_iou_thr": settings["thresholds"][2],
            "neg_iou_thr": settings["thresholds"][1],
            "min_pos_iou": 0.0,
            "low_quality_box": "own_best",
            "padding": "matched",
        },
        "sampler": {"type": "RandomSampler", "num": settings["batch_per_image"]},
        "box_coder": {"type": "DeltaBoxCoder", "clip_shrinking": False},
        "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True},
        "loss_bbox": {"type": "L1Loss"},
        "allowed_border": settings["boundary_thresh"],
        "normalizer": "fixed",
        "train_nms_pre": settings["pre_topk"]["True"],
        "train_max_proposals": settings["post_topk"]["True"],
        "test_nms_pre": settings["pre_topk"]["False"],
        "test_max_proposals": settings["post_topk"]["False"],
        "nms_threshold": settings["nms_thr"],
        "min_size_px": settings["min_size"],
    }


def roi_section(settings):
    threshold = settings["thresholds"][1]
    return {
        "type": "RoIHead",
        "assigner": {
            "type": "MaxIoUAssigner",
            "pos_iou_thr": threshold,
            "neg_iou_thr": threshold,
            "match_low_quality": False,
        },
        "sampler": {"type": "RandomSampler", "num": settings["batch_per_image"]},
        "bbox_head": {
            "type": "BoxHead",
            "num_classes": settings["num_classes"],
            "in_channels": 64,
            "fc_out_channels": 128,
            "box_coder": {
                "type": "DeltaBoxCoder",
                "stds": [1 / weight for weight in settings["weights"]],
                "clip_shrinking": False,
            },
            "loss_cls": {"type": "CrossEntropyLoss"},
            "loss_bbox": {"type": "L1Loss"},
            "nms": {"type": "nms", "iou_threshold": settings["nms_thr"]},
            "score_threshold": settings["score_thr"],
            "max_per_image": settings["max_per_img"],
        },
    }


def weights_of(meta, part):
    state = fill.state_dict(meta, part)
    prefix = f"w/{part}/"
    state |= {
        key.removeprefix(prefix): fill.generate(spec)
        for key, spec in meta["generated"].items()
        if key.startswith(prefix)
    }
    return {our_name(name): values for name, values in state.items()}


class Scene:
    """A case: detector, maps, targets and the trace of the stored samples."""

    def __init__(self, name):
        self.meta, self.arrays = case(name)
        rpn, roi = self.meta["head"]["rpn"], self.meta["head"]["roi"]
        self.detector = TwoStageDetector(None, None, build(rpn_section(rpn)), build(roi_section(roi)))
        weights = weights_of(self.meta, "proposal_generator") | weights_of(self.meta, "roi_heads")
        self.mask_weights = {
            key.removeprefix("roi_head.mask_head."): weights.pop(key)
            for key in list(weights)
            if "mask_head" in key
        }
        assign_state(self.detector, weights, what="golden weights")
        self.detector.rpn_head.sampler = GivenSampler(
            self.arrays["in/rpn_sampled_labels"], rpn["batch_per_image"]
        )
        self.sizes = [self.arrays[f"in/img_shape/{image}"] for image in range(NUM_IMAGES)]
        self.targets = make_targets(
            [self.arrays[f"in/gt_bboxes/{image}"] for image in range(NUM_IMAGES)],
            self.sizes,
            [self.arrays[f"in/gt_labels/{image}"] for image in range(NUM_IMAGES)],
        )
        self.features = [generated(self.meta, f"x/p{level}") for level in range(2, 7)]
        self.rois = self.places("in/rois/{}/boxes")
        self.trace = self.detector.predict(self.features, self.targets, rois=self.rois)

    def places(self, key):
        """RoIs of the arrays under a key with a place for the image, all of one number."""
        boxes = np.stack([self.arrays[key.format(image)][:, :4] for image in range(NUM_IMAGES)])
        return self.detector.roi_head.pooler.places(jt.array(boxes), jt.ones(boxes.shape[:2]))

    def assert_gradients(self, loss, part, module_prefix, module, change=None):
        """Compares gradients; `change` is called with {golden name: gradient} before."""
        names = self.meta[f"grad_names/{part}"]
        parameters = {module_prefix + name: var for name, var in module.named_parameters()}
        chosen = [name for name in names if our_name(name) in parameters]
        found = jt.grad(loss, [parameters[our_name(name)] for name in chosen])
        gradients = {name: g.numpy().copy() for name, g in zip(chosen, found, strict=True)}
        if change is not None:
            change(gradients)
        norms = dict(zip(names, self.arrays[f"grad_norms/{part}"], strict=True))
        for name, gradient in gradients.items():
            np.testing.assert_allclose(np.linalg.norm(gradient), norms[name], rtol=2e-3, err_msg=name)
            if f"grad/{part}/{name}/sample" in self.arrays:
                assert_sampled(self.meta, self.arrays, f"grad/{part}/{name}", gradient, 2e-3)

    def off_the_kink(self, crops):
        """A `change` that gives the cell at `KINK` the gradient that passed it in the reference.

        What is missing in the bias of its channel is missing in the weights times what they saw.

        Args:
            crops: [R, D, 14, 14] of the positive RoIs.
        """
        roi, channel, row, column = KINK
        seen = crops[roi, :, row - 1 : row + 2, column - 1 : column + 2].astype(np.float64)
        weight, bias = (self.mask_weights[f"convs.0.conv.{kind}"][channel] for kind in ("weight", "bias"))
        assert abs((seen * weight).sum() + bias) < 1e-6

        def change(gradients):
            weight, bias = (f"roi_heads.mask_head.mask_fcn1.{kind}" for kind in ("weight", "bias"))
            missing = self.arrays[f"grad/roi/{bias}/sample"][channel] - gradients[bias][channel]
            gradients[bias][channel] += missing
            gradients[weight][channel] += missing * seen

        return change


@pytest.fixture(scope="module", params=["l_faster_default", "l_faster_empty_first"])
def scene(request):
    return Scene(request.param)


@pytest.mark.golden
def test_region_proposals(scene):
    arrays, stage = scene.arrays, scene.trace.stages["rpn"]
    for level, stride in enumerate(stage.places.level_strides):
        anchors = scene.detector.rpn_head.priors.base_anchors(stride)
        np.testing.assert_allclose(anchors, arrays[f"out/cell_anchors/{level}"], atol=1e-4)
    for part, key in (("logits", "cls_logits"), ("deltas", "box_deltas")):
        for level, x in enumerate(as_maps(stage.predictions[key].numpy(), stage.places), 2):
            assert_sampled(scene.meta, arrays, f"out/rpn_{part}/p{level}", x, 1e-4)
    index, clear = stage.assigned.gt_index.numpy(), ~arrays["out/rpn_fragile"]
    labels = np.where(index >= 0, 1, np.where(index == -1, 0, -1))
    np.testing.assert_array_equal(labels[clear], arrays["out/rpn_labels_before_sampling"][clear])
    untrained = scene.detector.rpn_head.stage(scene.features)
    for key, made in (("proposals", stage), ("test_proposals", untrained)):
        found = scene.detector.rpn_head.proposals(made, np.array(scene.sizes))
        for image in range(NUM_IMAGES):
            expected = arrays[f"out/{key}/{image}"][:, :4]
            assert found.mask.numpy()[image].sum() == len(expected)
            np.testing.assert_allclose(
                found.boxes.numpy()[image, : len(expected)], expected, rtol=1e-4, atol=1e-3
            )


@pytest.mark.golden
def test_rois_and_losses(scene):
    arrays, stage = scene.arrays, scene.trace.stages["roi"]
    for image in range(NUM_IMAGES):
        np.testing.assert_array_equal(stage.assigned.labels.numpy()[image], arrays[f"in/rois/{image}/labels"])
        positive = stage.assigned.positive_mask.numpy()[image] > 0
        expected = arrays[f"in/rois/{image}/gt_boxes"][positive]
        np.testing.assert_allclose(stage.assigned.target_boxes.numpy()[image][positive], expected, atol=1e-4)
    crops = scene.detector.roi_head.pooler.crops(scene.features, scene.rois, 7)
    assert_sampled(scene.meta, arrays, "out/pooled", crops.numpy(), 1e-4)
    for key, golden in (("cls_logits", "box_cls"), ("box_deltas", "box_delta")):
        found = stage.predictions[key].numpy()
        assert_sampled(scene.meta, arrays, f"out/{golden}", found.reshape(crops.shape[0], -1), 1e-4)
    losses = scene.detector.losses(scene.trace, scene.targets)
    theirs = {"loss_bbox": "loss_box_reg", "loss_rpn_bbox": "loss_rpn_loc"}
    for name, loss in losses.items():
        np.testing.assert_allclose(loss.item(), arrays[f"loss/{theirs.get(name, name)}"], rtol=1e-4)
    total = sum(losses.values())
    scene.assert_gradients(total, "rpn", "", scene.detector)
    scene.assert_gradients(total, "roi", "", scene.detector)
    for level, gradient in enumerate(jt.grad(total, scene.features), 2):
        assert_sampled(scene.meta, arrays, f"grad/x/p{level}", gradient.numpy(), 1e-3)


@pytest.mark.golden
def test_detections(scene):
    trace = scene.detector.predict(scene.features, rois=scene.places("out/test_proposals/{}"))
    batch = {
        "img_ids": list(range(NUM_IMAGES)),
        "img_shapes": np.array(scene.sizes, np.float32),
        "scale_factors": np.ones((NUM_IMAGES, 4), np.float32),
    }
    for image, found in enumerate(scene.detector.detect(trace, batch)):
        assert_detections_match(
            found, scene.arrays[f"out/det{image}/boxes"], scene.arrays[f"out/det{image}/labels"]
        )


@pytest.mark.golden
def test_masks():
    scene = Scene("l_mask_default")
    meta, arrays, pooler = scene.meta, scene.arrays, scene.detector.roi_head.pooler
    loss_mask = {"type": "CrossEntropyLoss", "use_sigmoid": True}
    head = build(
        {
            "type": "MaskHead",
            "num_classes": 20,
            "in_channels": 64,
            "conv_out_channels": 32,
            "loss_mask": loss_mask,
        }
    )
    assign_state(head, scene.mask_weights, what="golden weights")
    rois = scene.trace.stages["roi"]
    crops = pooler.crops(scene.features, scene.rois, head.roi_feat_size)
    predictions = head(crops, NUM_IMAGES)
    positive = rois.assigned.positive_mask.numpy()
    assert_sampled(meta, arrays, "out/mask_logits", predictions["mask_logits"].numpy()[positive > 0], 1e-4)
    bits = np.unpackbits(arrays["in/mask_targets"], axis=-1)[..., :28].astype(np.float32)
    stage = Stage(predictions, rois.places, head, rois.assigned)
    loss = head.losses(stage, jt.array(spread_over(positive, bits)))["loss_mask"]
    np.testing.assert_allclose(loss.item(), arrays["loss/loss_mask"], rtol=1e-4)
    change = scene.off_the_kink(crops.numpy()[positive.ravel() > 0])
    scene.assert_gradients(loss, "roi", "roi_head.mask_head.", head, change)
    for image in range(NUM_IMAGES):
        boxes, labels = arrays[f"out/det{image}/boxes"], arrays[f"out/det{image}/labels"]
        alone = [x[image : image + 1] for x in scene.features]
        places = pooler.places(jt.array(boxes[None, :, :4]), jt.ones((1, len(boxes))))
        assert isinstance(places, Places)
        logits = head(pooler.crops(alone, places, 14), 1)["mask_logits"]
        probs = jt.sigmoid(head.of_class(logits, jt.array(labels[None].astype(np.int32)))).numpy()[0]
        shape = meta["sampled"][f"out/det{image}/mask_prob"]["shape"]
        assert_sampled(meta, arrays, f"out/det{image}/mask_prob", probs.reshape(shape), 1e-4)
