"""Rotated models and batches of golden cases: mmRotate's configs in our words, weights from the fill rule.

Keys that are not known here raise, so that a case that is not understood fails instead of passing by
accident.
"""

from __future__ import annotations

import numpy as np

from jld.boxes.rotated import matched_rbox_iou
from jld.models import Stage, Targets, Trace, assign_state
from jld.models.heads.dense_head import flatten_levels
from jld.optim import SGD, Optimizers
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.golden_cases import fill
from tests.models.golden_models import assert_sampled, backbone_config, batch_of, generated, take
from tests.stages import stage_of

HEADS = {
    "RotatedRetinaHead": (),
    "RotatedRetinaHeadDistribution": ("reg_max",),
    "LDRotatedRetinaHead": ("reg_max", "loss_ld", "loss_kd", "loss_im", "imitation_method"),
    "KFIoURRetinaHead": (),
}
# Floor of the square roots of GDLoss.
REFERENCES = {"mmrotate 0.3.4": 1e-7, "Zzh-tju/Rotated-LD (mmrotate 0.1.0 fork)": 0.0}
DISTILLATION_KEYS = ("loss_ld", "loss_kd", "loss_im", "imitation_method")
MAPS = ("cls_score", "bbox_pred")
SGD_RTOL = (5e-4, 5e-3, 1e-2)


def head_config(section: dict, train_cfg: dict, test_cfg: dict, reference: str) -> dict:
    """The config section of our head for a golden one; fails on anything it does not know."""
    rest = dict(section)
    rest.pop("train_cfg", None), rest.pop("test_cfg", None)
    kind = rest.pop("type")
    for key in set(DISTILLATION_KEYS) & set(HEADS[kind]):
        rest.pop(key, None)
    assert "reg_max" not in rest or "reg_max" in HEADS[kind]
    loss = rest["loss_bbox"] = loss_config(rest.pop("loss_bbox"), reference)
    assert (loss["type"] == "KFLoss") == (kind == "KFIoURRetinaHead")
    if loss["type"] == "GDLoss_v1":  # the released one is the mean over each level's positives
        rest["box_normalizer"] = "positives_per_level"
    ours = {
        "type": "RotatedRetinaHead",
        "priors": take(rest.pop("anchor_generator"), type="RotatedAnchorGenerator"),
        "box_coder": coder_config(rest.pop("bbox_coder")),
        "assigner": assigner_config(train_cfg, rest.pop("assign_by_circumhbbox")),
    }
    ours["priors"]["type"] = "RotatedAnchorGenerator"
    return {**rest, **ours, **selection(test_cfg)}


def loss_config(section: dict, reference: str) -> dict:
    """The box loss; `reference` says whose, because mmRotate changed the floor of the square roots."""
    if section["type"] != "GDLoss":
        return dict(section)
    assert reference in REFERENCES, reference
    return {**section, "distance_floor": REFERENCES[reference]}


def coder_config(section: dict) -> dict:
    rest = take(section, type="DeltaXYWHAOBBoxCoder", target_means=[0.0] * 5, target_stds=[1.0] * 5)
    return {"type": "DeltaXYWHAOBBoxCoder", "angle_version": rest.pop("angle_range"), **rest}


def assigner_config(train_cfg: dict, circumscribed: str | None) -> dict:
    rest = take(train_cfg, allowed_border=-1, pos_weight=-1, debug=False).pop("assigner")
    rest = take(rest, type="MaxIoUAssigner", iou_calculator={"type": "RBboxOverlaps2D"})
    overlaps = {"type": "RotatedOverlap", "upright": circumscribed is not None}
    return {"type": "MaxIoUAssigner", "overlaps": overlaps, **rest}


def selection(test_cfg: dict) -> dict:
    rest = {key: value for key, value in test_cfg.items() if key != "min_bbox_size"}  # unused there as well
    nms = dict(rest.pop("nms"))
    threshold = nms.pop("iou_thr")
    assert not nms, nms
    return {
        "score_threshold": rest.pop("score_thr"),
        "max_per_image": rest.pop("max_per_img"),
        "nms": {"type": "RotatedClasswiseNMS", "iou_threshold": threshold},
        **rest,
    }


def given_head(meta: dict):
    """The head of a case on given maps; its towers are not used, hence narrow."""
    head = meta["head"]
    test_cfg = meta.get("det_cfg", head["test_cfg"])
    section = head_config(head, head["train_cfg"], test_cfg, meta["versions"]["reference"])
    return build({**section, "in_channels": 8, "feat_channels": 8, "stacked_convs": 1})


def given_maps(meta: dict, levels, prefix: str = "", keys=MAPS) -> dict[str, list]:
    return {key: [generated(meta, f"{prefix}{key}/{level}") for level in levels] for key in keys}


def stage_of_maps(head, maps: dict[str, list], targets: Targets | None = None) -> Stage:
    """The stage that the head would leave behind had it predicted these maps."""
    shapes = head.prediction_shapes()
    predictions = {
        key: flatten_levels(maps[name], per_prior=shapes[key]) for key, name in keys_of_maps(head).items()
    }
    places = head.priors.priors([x.shape[2:] for x in maps["cls_score"]])
    return stage_of(head, predictions, places, targets)


def keys_of_maps(head) -> dict[str, str]:
    """{key of our predictions: name of the reference's maps}."""
    return dict(zip(("cls_logits", head.boxes.key), MAPS, strict=True))


def build_rotated(meta: dict, section: dict, tag: str, test_cfg: dict | None = None):
    """A detector of a whole-model case, filled with its weights, in training mode."""
    model = take(section, pretrained=None)
    assert model.pop("type") in ("RotatedRetinaNet", "KnowledgeDistillationRotatedSingleStageDetector")
    test = test_cfg or model["test_cfg"]
    reference = meta["versions"]["reference"]
    head = head_config(model.pop("bbox_head"), model.pop("train_cfg"), test, reference)
    model.pop("test_cfg")
    config = {"backbone": backbone_config(model.pop("backbone")), "neck": model.pop("neck")}
    assert not set(model) - {"teacher_config", "teacher_ckpt", "output_feature"}, model
    detector = build({"type": "RotatedRetinaNet", **config, "bbox_head": head})
    assign_state(detector, fill.state_dict(meta, tag), what="golden weights")
    detector.train()
    return detector


def rotated_batch(arrays: dict, num_images: int) -> dict:
    """The collated batch of a case; scale factors of 1 keep detections in the network's pixels."""
    return batch_of(arrays, num_images, box_width=5)


def rotated_targets(arrays: dict, num_images: int) -> Targets:
    return Targets.from_batch(rotated_batch(arrays, num_images))


def expected_losses(arrays: dict) -> dict[str, float]:
    """{name: sum over levels} of the case."""
    return {
        key.removeprefix("loss/"): float(arrays[key].astype(np.float64).sum())
        for key in arrays
        if key.startswith("loss/") and key != "loss/total"
    }


def assert_losses_equal(losses: dict, expected: dict[str, float], rtol: float) -> None:
    """Same names and values; a term of weight 0 is not computed here, the reference prints a zero."""
    left_out = {name for name, value in expected.items() if value == 0} - set(losses)
    assert set(losses) == set(expected) - left_out
    for name, value in losses.items():
        np.testing.assert_allclose(value.item(), expected[name], rtol=rtol, atol=1e-6, err_msg=name)


def assert_targets_equal(meta: dict, arrays: dict, stage: Stage) -> None:
    """Anchors, labels, weights and regression targets of the case."""
    anchors, assignment = stage.places.boxes.numpy()[0], stage.assignment
    assert_sampled(meta, arrays, "out/tgt/anchors", anchors, 1e-6)
    sure = ~arrays["out/tgt/fragile"]
    weights = arrays["out/tgt/label_weights"]
    np.testing.assert_array_equal(assignment.label_weights.numpy()[sure], weights[sure])
    learning = sure & (weights > 0)
    np.testing.assert_array_equal(assignment.labels.numpy()[learning], arrays["out/tgt/labels"][learning])
    assert assignment.num_total_pos.item() == arrays["out/tgt/num_total_pos"]
    negative = (assignment.label_weights.numpy() > 0) & (assignment.positive_mask.numpy() == 0)
    # The reference counts at least one in each image.
    assert np.maximum(negative.sum(1), 1).sum() == arrays["out/tgt/num_total_neg"]
    positive = sure & (arrays["out/tgt/bbox_weights"] > 0)
    np.testing.assert_array_equal(assignment.positive_mask.numpy()[sure] > 0, positive[sure])
    boxes = assignment.target_boxes.numpy()
    rows = np.nonzero(positive)
    expected = arrays["out/tgt/bbox_targets"][rows]
    if not stage.head.reg_decoded_bbox:
        boxes = coder_of(stage.head).encode(np.broadcast_to(anchors, boxes.shape)[rows], boxes[rows])
        np.testing.assert_allclose(boxes, expected, rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_allclose(boxes[rows], expected, rtol=1e-5, atol=1e-4)


def coder_of(head):
    """The box coder of a head, with and without distributions."""
    return getattr(head.boxes, "of", head.boxes).coder


def assert_map_gradients(meta: dict, arrays: dict, maps: dict[str, list], loss, prefix: str = "grad") -> None:
    """Gradients of `loss` on every map of the case that has them; all of ours are finite."""
    keys = [key for key in maps if f"{prefix}/{key}/0/norm" in arrays]
    for key in keys:
        for level, gradient in enumerate(jt.grad(loss, maps[key])):
            got = gradient.numpy()
            assert np.isfinite(got).all(), (prefix, key, level)
            if np.isfinite(arrays[f"{prefix}/{key}/{level}/norm"]):
                assert_sampled(meta, arrays, f"{prefix}/{key}/{level}", got, 1e-4)
    assert keys or not any(name.startswith(f"{prefix}/") for name in arrays), prefix


def assert_detections_equal(found: dict, boxes: np.ndarray, labels: np.ndarray) -> None:
    """Number, labels, boxes and scores of detections from given maps, sorted by score."""
    assert len(found["boxes"]) == len(boxes)
    order = np.argsort(-boxes[:, 5], kind="stable")
    np.testing.assert_allclose(found["scores"], boxes[order, 5], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found["labels"], labels[order])
    np.testing.assert_allclose(found["boxes"], boxes[order, :5], rtol=1e-4, atol=1e-4)


def assert_detections_match(found: dict, boxes: np.ndarray, labels: np.ndarray) -> None:
    """98 % of the expected boxes have a partner: IoU above 0.99, same label, score within 1e-3."""
    assert abs(len(found["boxes"]) - len(boxes)) <= 0.02 * len(boxes)
    assert (np.diff(found["scores"]) <= 0).all()
    matched = 0
    for box, label in zip(boxes, labels, strict=True):
        rows = np.flatnonzero((found["labels"] == label) & (np.abs(found["scores"] - box[5]) < 1e-3))
        iou = matched_rbox_iou(found["boxes"][rows], np.repeat(box[None, :5], len(rows), 0))
        matched += bool((iou > 0.99).any())
    assert matched >= 0.98 * len(boxes)


def _map_of_level(stage: Stage, key: str, level: int) -> np.ndarray:
    """[N, A * D, H, W] of one level from a prediction [N, P, ...]."""
    values = stage.predictions[key].numpy()
    height, width = stage.places.level_sizes[level]
    rows = values[:, stage.places.level_slices[level]].reshape(len(values), height, width, -1)
    return rows.transpose(0, 3, 1, 2)


def assert_maps_equal(meta: dict, arrays: dict, model, images, trace: Trace, prefix: str = "") -> None:
    """Backbone, neck and head outputs of a whole-model case; `prefix` "" or "teacher_"."""
    with jt.no_grad():
        backbone = model.backbone(images)
    for name, maps in (("backbone", backbone), ("fpn", trace.features)):
        for level, x in enumerate(maps):
            assert_sampled(meta, arrays, f"out/{prefix}{name}/{level}", x.numpy(), 1e-4)
    for key, name in keys_of_maps(model.bbox_head).items():
        for level in range(len(trace.features)):
            values = _map_of_level(trace.stage(), key, level)
            assert_sampled(meta, arrays, f"out/{prefix}{name}/{level}", values, 1e-4)


def assert_detections_of_model(arrays: dict, model, trace: Trace) -> None:
    count = trace.features[0].shape[0]
    batch = rotated_batch(arrays, count)
    factors = {"det": batch["scale_factors"]}
    factors["det_rescale"] = np.stack([arrays[f"in/scale_factor/{i}"] for i in range(count)])
    for key, scale_factors in factors.items():
        for image, found in enumerate(model.detect(trace, {**batch, "scale_factors": scale_factors})):
            assert_detections_match(
                found, arrays[f"out/{key}/boxes/{image}"], arrays[f"out/{key}/labels/{image}"]
            )


def assert_parameter_gradients(meta: dict, arrays: dict, parameters: dict, loss) -> None:
    """Norm of every parameter's gradient and the sampled ones."""
    names = meta["grad_names"]
    gradients = [var.numpy() for var in jt.grad(loss, [parameters[name] for name in names])]
    norms = [np.linalg.norm(values.astype(np.float64)) for values in gradients]
    np.testing.assert_allclose(norms, arrays["grad_norms"], rtol=2e-3, atol=1e-7)
    for name, values in zip(names, gradients, strict=True):
        if f"grad/{name}" in meta["sampled"]:
            assert_sampled(meta, arrays, f"grad/{name}", values, 1e-2)


def gradient_norm(loss, parameters) -> float:
    """Joint L2 norm of the gradients, before clipping."""
    norms = [np.linalg.norm(var.numpy().astype(np.float64)) for var in jt.grad(loss, parameters)]
    return float(np.linalg.norm(norms))


def assert_sgd_equal(meta: dict, arrays: dict, model, step_losses) -> None:
    """Losses along SGD with clipping on one batch, and the weights afterwards."""
    settings = dict(meta["sgd"])
    steps, clip = settings.pop("steps"), settings.pop("grad_clip")
    parameters = dict(model.named_parameters())
    grad_clip = None if clip is None else {"max_norm": clip, "norm_type": 2}
    optimizer = Optimizers(SGD(parameters, grad_clip=grad_clip, **settings))
    expected = {key.split("/")[1] for key in arrays if key.startswith("sgd/loss_")}
    for step in range(steps):
        losses = step_losses()
        rtol = SGD_RTOL[min(step, len(SGD_RTOL) - 1)]
        zero = {name for name in expected if not arrays[f"sgd/{name}"].any()}
        assert expected - zero <= set(losses) <= expected
        total = sum(losses.values())
        if clip is not None:
            norm = gradient_norm(total, [slot.param for slot in optimizer.slots])
            np.testing.assert_allclose(norm, arrays["sgd/grad_norm"][step], rtol=max(rtol, 2e-3))
        optimizer.step(total)
        np.testing.assert_allclose(total.item(), arrays["sgd/total"][step], rtol=rtol)
        for name, value in losses.items():
            np.testing.assert_allclose(
                value.item(),
                arrays[f"sgd/{name}"][step],
                rtol=rtol,
                atol=1e-6,
                err_msg=f"{name}, step {step}",
            )
    for key in meta["sampled"]:
        if key.startswith("sgd/param/"):
            values = parameters[key.removeprefix("sgd/param/")].numpy()
            assert_sampled(meta, arrays, key, values, 1e-3)
