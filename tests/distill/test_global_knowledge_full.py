"""Whole steps of global knowledge, on RetinaNet and on Faster R-CNN, from the image, against the release."""

import numpy as np
import pytest

from jld.distill import Distiller, FrozenTeacher, Lesson, Step
from jld.distill.instances import Prototypes
from jld.distill.terms import GlobalKnowledge, RobustFeatures, RobustLabels
from jld.models import assign_state
from jld.models.heads import RPNHead
from jld.optim import SGD
from jld.registry import build
from jld.runner.loop import TrainingLoop
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill
from tests.models.golden_models import assert_sampled, backbone_config, generated, take, targets_of
from tests.models.golden_two_stage import build_whole, proposals_of, whole_batch
from tests.runner.test_golden_sgd import RTOL, WEIGHT_RTOL, Batches

PLAIN = {"outside": "mirror", "max_instances": 256}  # as released; the case has 103 positives in an image


def retinanet(meta, role):
    """One of the two detectors of the case, filled with its weights; the student's adapters are left over."""
    section = take(meta["model"][role], pretrained=None)
    head = dict(section["bbox_head"])
    take(head.pop("bbox_coder"), type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4)
    head |= {
        "priors": head.pop("anchor_generator"),
        "assigner": meta["train_cfg"]["assigner"],
        "box_coder": {"type": "DeltaBoxCoder"},
        "nms": {"type": "ClasswiseNMS", "iou_threshold": 0.5},
    }
    detector = build(
        {
            "type": "RetinaNet",
            "backbone": backbone_config(section["backbone"]),
            "neck": section["neck"],
            "bbox_head": head,
        }
    )
    state = fill.state_dict(meta, role)
    assign_state(
        detector, {k: v for k, v in state.items() if not k.startswith("neck_adp")}, what="golden weights"
    )
    return detector, {k: v for k, v in state.items() if k.startswith("neck_adp")}


def faster(meta, role):
    """The same for the pair of two-stage detectors."""
    whole = meta["model"]
    train, test = whole["train_cfg"], whole["test_cfg"]
    section = take(whole[role], pretrained=None) | {
        "type": "FasterRCNN",
        "train_cfg": {**train, "rpn_proposal": test["rpn"]},
        "test_cfg": test,
    }
    spec = meta["params"][role]
    own = {name: shape for name, shape in spec["shapes"].items() if not name.startswith("adap_neck")}
    known = {"model": section, "det_cfg": {}, "params": {"model": {"salt": spec["salt"], "shapes": own}}}
    state = fill.state_dict(meta, role)
    return build_whole(known), {k: v for k, v in state.items() if k.startswith("adap_neck")}


def frozen(detector):
    """The teacher that this detector is."""
    detector.eval()
    teacher = FrozenTeacher.__new__(FrozenTeacher)
    teacher._hidden, teacher._renormalises, teacher._class_order = (detector,), False, None
    return teacher


def joined(student, teacher, terms, adapters, given):
    """The distiller of these terms, the first of which adapts, with the case's weights and prototypes."""
    distiller = Distiller({"teacher": teacher}, [Lesson(term) for term in terms], {})
    distiller.bind(student)
    for level, conv in enumerate(terms[0].modules().values()):
        ours = {
            key.rpartition(".")[2]: jt.array(value)
            for key, value in adapters.items()
            if f".{level}.0." in key
        }
        conv.load_state_dict(ours)
    for term in terms:
        term.use(given)
    return distiller


def two_stages():
    """(case, student, distiller with the three terms, the one with adapters) of Faster R-CNN."""
    meta, arrays = case("g_full")
    (student, adapters), (detector, _) = (faster(meta, role) for role in ("student", "teacher"))
    roi = {"stage": "roi", "max_instances": 64}
    features = RobustFeatures(padding="included", **roi)
    terms = features, RobustLabels(described_by="roi_align", **roi), GlobalKnowledge(**roi)
    distiller = joined(student, frozen(detector), terms, adapters, prototypes(meta, arrays))
    return meta, arrays, student, distiller, features


def prototypes(meta, arrays):
    starts = arrays["in/cls_start_index"]
    slots = int(np.diff(starts).max())
    labels = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    places = np.arange(starts[-1]) - np.repeat(starts[:-1], np.diff(starts))
    channels = meta["generated"]["proto_student/0"]["shape"][1]
    spaces = np.zeros((2, 5, len(starts) - 1, slots, channels), np.float32)
    for space, side in zip(spaces, ("student", "teacher"), strict=True):
        for level in range(5):
            space[level, labels, places] = generated(meta, f"proto_{side}/{level}").numpy()
    mask = np.zeros((5, len(starts) - 1, slots), np.float32)
    mask[:, labels, places] = 1
    return Prototypes(*spaces, mask)


@pytest.fixture(scope="module")
def step():
    """(case, student, {loss: scalar}, adapter's first convolution) of one step."""
    meta, arrays = case("g_retina_full")
    (student, adapters), (detector, _) = (retinanet(meta, role) for role in ("student", "teacher"))
    student.train()
    features = RobustFeatures(over_levels="sum", padding="included", **PLAIN)
    terms = features, RobustLabels(**PLAIN), GlobalKnowledge(**PLAIN)
    distiller = joined(student, frozen(detector), terms, adapters, prototypes(meta, arrays))
    images, targets = generated(meta, "img"), targets_of(arrays, 2)
    maps = student.features(images)
    trace = student.predict(maps, targets)
    losses = {
        key: sum(value) if isinstance(value, list | tuple) else value
        for key, value in student.losses(trace, targets).items()
    }
    losses |= distiller(Step(images, targets, student, maps, trace))
    return meta, arrays, student, losses, features, trace


def test_losses_are_those_of_the_release_with_matching_rows(step):
    _, arrays, _, losses, features, trace = step
    expected = {
        "loss_cls": arrays["loss/loss_cls"].sum(),
        "loss_bbox": arrays["loss/loss_bbox"].sum(),
        "loss_robust_features": sum(
            arrays[f"intended/loss/loss_{part}_point"].sum() for part in ("kd", "bg")
        ),
        "loss_robust_labels": arrays["intended/loss/loss_kd_soft"],
        "loss_global_knowledge": arrays["intended/loss/loss_kd_pair"].sum(),
    }
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(losses[name].item(), value, rtol=5e-4, err_msg=name)
    found = features.reader.slots
    positives = trace.stage().assigned.positive_mask.numpy()
    boxes = trace.stage().places.boxes.numpy()[0]
    assert found > positives.sum(1).max()
    for n in range(2):
        np.testing.assert_allclose(boxes[positives[n] > 0], arrays[f"out/pos_bboxes/{n}"], atol=1e-3)


def test_gradients_are_those_of_the_release(step):
    """The labels' term, whose rows are another's in the release, moves them by less than the tolerance."""
    meta, arrays, student, losses, features, _ = step
    named = dict(student.named_parameters())
    names = ["bbox_head.retina_reg.weight", "neck_adp.0.0.weight"]
    adapter = features.modules()["adapter.0"].weight
    found = jt.grad(sum(losses.values()), [named[names[0]], adapter, named["neck.fpn_convs.0.conv.weight"]])
    for name, gradient in zip([*names, "neck.fpn_convs.0.conv.weight"], found, strict=True):
        assert_sampled(meta, arrays, f"grad/{name}", gradient.numpy(), 1e-2)


def test_two_stages_learn_on_their_positive_rois():
    """The case's positives are given as RoIs, so that no sampling is needed."""
    meta, arrays, student, distiller, _ = two_stages()
    images, targets = generated(meta, "img"), targets_of(arrays, 2)
    chosen = []
    for n in range(2):
        known = np.concatenate([arrays[f"in/gt_bboxes/{n}"], arrays[f"in/proposals/{n}"][:, :4]])
        chosen.append(known[arrays[f"in/sample/pos_inds/{n}"]])
    boxes, mask = np.zeros((2, 16, 4), np.float32), np.zeros((2, 16), np.float32)
    for n, rows in enumerate(chosen):
        boxes[n, : len(rows)], mask[n, : len(rows)] = rows, 1
    maps = student.features(images)
    rois = student.roi_head.pooler.places(jt.array(boxes), jt.array(mask))
    trace = student.predict(maps, targets, rois=rois)
    owners = trace.stages["roi"].assigned.gt_index.numpy()
    for n, rows in enumerate(chosen):
        np.testing.assert_array_equal(owners[n, : len(rows)], arrays[f"in/sample/pos_assigned_gt_inds/{n}"])
    losses = distiller(Step(images, targets, student, maps, trace))
    expected = {
        "loss_robust_features": arrays["loss/loss_kd_point"].sum() + arrays["loss/loss_bg_point"].sum(),
        "loss_robust_labels": arrays["loss/loss_kd_soft"],
        "loss_global_knowledge": arrays["loss/loss_kd_pair"].sum(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(losses[name].item(), value, rtol=5e-4, err_msg=name)
    weight, name = student.neck.fpn_convs[0].conv.weight, "neck.fpn_convs.0.conv.weight"
    for loss, theirs in (("loss_global_knowledge", "loss_kd_pair"), ("loss_robust_labels", "loss_kd_soft")):
        gradient = jt.grad(losses[loss], weight).numpy()
        assert_sampled(meta, arrays, f"grad/{theirs}/{name}", gradient, 1e-2)


def test_three_steps_equal_the_release(monkeypatch):
    """Task losses, terms and adapters together; proposals are the stored ones, samples are spread."""
    meta, arrays, student, distiller, features = two_stages()
    settings = dict(meta["sgd"])
    steps, adapter = settings.pop("steps"), features.modules()["adapter.0"].weight
    assert settings.pop("grad_clip") is None
    batch = {**whole_batch(meta, arrays), "images": generated(meta, "img").numpy()}
    named = dict(student.named_parameters())
    for name, module in distiller.modules().items():
        named |= {f"distill.{name}.{key}": value for key, value in module.named_parameters()}
    loop = TrainingLoop(
        student, Batches(batch | {"img_files": ["golden"] * 2}), SGD(named, **settings), max_iter=steps,
        distiller=distiller,
    )  # fmt: skip
    stored = [proposals_of(arrays, f"in/sgd/{step}/proposals") for step in range(steps)]
    monkeypatch.setattr(RPNHead, "proposals", lambda *_: stored[loop.iteration])
    loop.run()
    loop.history.fetch()
    theirs = {name: [name] for name in ("loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox", "total")}
    theirs |= {
        "loss_robust_features": ["loss_kd_point", "loss_bg_point"],
        "loss_robust_labels": ["loss_kd_soft"],
        "loss_global_knowledge": ["loss_kd_pair"],
    }
    for step, record in enumerate(loop.history.records):
        for key, parts in theirs.items():
            value = record.values["total_loss" if key == "total" else key]
            expected = sum(arrays[f"sgd/{part}"][step] for part in parts)
            np.testing.assert_allclose(value, expected, rtol=RTOL[step], atol=1e-5, err_msg=f"{key}, {step}")
    assert len(loop.history.records) == steps
    for name in (
        "backbone.layer2.0.conv1.weight",
        "roi_head.bbox_head.fc_cls.weight",
        "adap_neck.0.0.weight",
    ):
        found = named.get(name, adapter).numpy()
        assert_sampled(meta, arrays, f"sgd/param/{name}", found, WEIGHT_RTOL)
