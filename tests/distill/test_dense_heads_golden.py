"""Heads with distributions other than GFL's: losses, detections and LD terms against the LD release."""

import numpy as np
import pytest

from jld.distill import Distiller, Lesson
from jld.distill.distiller import named_regions
from jld.models import assign_state
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill, param_cases
from tests.models.golden_detections import assert_detections_match
from tests.models.golden_models import (
    assert_sampled,
    batch_of,
    generated,
    head_config,
    take,
    targets_of,
)
from tests.stages import GivenTeacher, bound_to, stage_of, step_of
from tests.stages import trace_of as trace_of_stage

KL = "KnowledgeDistillationKLDivLoss"
# A fixed factor of the released heads on the weight of their second LD term.
RETINA_VLR, FCOS_VLR, ATSS_VLR = 0.03, 0.25, 0.15
# The release's "gibox" compares logits with probabilities here: no region of ours does.
IMITATION_REGIONS = {"finegrained": "fine_grained", "fitnet": "inside_gt"}
# Multiplied by zero in the release.
DEAD_LOSS = "loss_kd_neg"
# Read by no line of the released FCOS head with distributions.
DEAD_FCOS_KEYS = ("conv_bias", "norm_on_bbox")


def released_kl(section):
    """(weight, temperature) of a released term."""
    rest = take(section, type=KL, reduction="mean")
    return rest.pop("loss_weight"), rest.pop("T")


def retina_section(head, resolved):
    # The coder is built and never asked: distances decode the boxes.
    head.pop("bbox_coder")
    return head_config(head, head["train_cfg"], head["test_cfg"]) | {"type": "RetinaHead"}


def fcos_section(head, resolved):
    section = head_config({"anchor_generator": None, **head}, head["train_cfg"], head["test_cfg"])
    for key in DEAD_FCOS_KEYS:
        section.pop(key)
    section = take(section, dcn_on_last_conv=False)
    radius = resolved["center_sample_radius"] if section.pop("center_sampling") else None
    return section | {
        "type": "FCOSHead",
        "priors": {"type": "AnchorGenerator", "strides": section.pop("strides"), "center_offset": 0.5},
        "assigner": {
            "type": "FCOSAssigner",
            "center_radius": radius,
            "regress_ranges": resolved["regress_ranges"],
        },
    }


def atss_section(head, resolved):
    # The coder is built and never asked: distances decode the boxes.
    head.pop("bbox_coder")
    return head_config(head, head["train_cfg"], head["test_cfg"]) | {"type": "ATSSHead"}


def gflv2_section(head, resolved):
    extra_channels = resolved["cls_out_channels"] - head["num_classes"]
    assert extra_channels in (0, 1)
    section = head_config(head, head["train_cfg"], head["test_cfg"])
    return section | {"type": "GFLv2Head", "background_channel": bool(extra_channels)}


def retina_terms(resolved):
    (ld, ld_t), (kd, kd_t) = released_kl(resolved["loss_ld"]), released_kl(resolved["loss_kd"])
    joint = dict(type="LocalizationKD", temperature=ld_t, sides="joint")  # divided by 4 all the same
    return [
        dict(joint, region="main", weight=ld / 4, name="loss_ld"),
        dict(joint, region="vlr_rest", weight=RETINA_VLR * ld / 4, weighting="iou", name="loss_ld_vlr"),
        dict(type="ClassificationKD", weight=kd, temperature=kd_t, name="loss_cls_kd"),
    ]


def fcos_terms(resolved):
    (ld, ld_t), (kd, kd_t) = released_kl(resolved["loss_ld"]), released_kl(resolved["loss_kd"])
    return [
        dict(type="LocalizationKD", region="main", weight=ld, temperature=ld_t, name="loss_ld"),
        dict(
            type="LocalizationKD",
            region="fcos_vlr",
            weight=FCOS_VLR * ld,
            temperature=ld_t,
            name="loss_ld_neg",
        ),
        dict(type="ClassificationKD", weight=kd, temperature=kd_t, name="loss_cls_kd"),
    ]


def atss_terms(resolved):
    (ld, ld_t), (kd, kd_t) = released_kl(resolved["loss_ld"]), released_kl(resolved["loss_kd"])
    edges = dict(type="LocalizationKD", temperature=ld_t)
    return [
        dict(edges, region="main", weight=ld, name="loss_ld"),
        dict(edges, region="vlr", weight=ATSS_VLR * ld, weighting="iou", name="loss_ld_neg"),
        dict(type="ClassificationKD", weight=kd, temperature=kd_t, name="loss_cls_kd"),
    ]


def gflv2_terms(resolved):
    (ld, ld_t), (vlr, vlr_t) = released_kl(resolved["loss_ld"]), released_kl(resolved["loss_ld_vlr"])
    kd, kd_t = released_kl(resolved["loss_kd"])
    imitation = take(resolved["loss_im"], type="IMLoss", reduction="mean")
    return [
        dict(type="LocalizationKD", region="main", weight=ld, temperature=ld_t),
        dict(type="LocalizationKD", region="vlr", weight=vlr / 4, temperature=vlr_t, weighting="iou"),
        dict(type="ClassificationKD", weight=kd, temperature=kd_t),
        dict(
            type="FeatureImitation",
            region=IMITATION_REGIONS[resolved["imitation_method"]],
            weight=imitation.pop("loss_weight"),
            needs_positives=True,
            name="loss_im",
        ),
    ]


# Released head: section of ours, terms of ours, maps in the order of the file.
HEADS = {
    "LDATSSHead": (atss_section, atss_terms, ("cls_logits", "box_logits", "centerness_logits")),
    "LDv2Head": (gflv2_section, gflv2_terms, ("scores", "box_logits", "cls_logits")),
    "LDRetinaHead": (retina_section, retina_terms, ("cls_logits", "box_logits")),
    "LDFCOSHead": (fcos_section, fcos_terms, ("cls_logits", "box_logits", "centerness_logits")),
}
DISTILLATION_KEYS = ("loss_ld", "loss_ld_vlr", "loss_kd", "loss_im", "imitation_method")
REGIONS = {"vlr_rest": dict(type="ValuableLocalizationRegion", exclude_main=True)}


class Holder(jt.Module):
    """A detector that is only a head."""

    def __init__(self, head):
        self.bbox_head = head


def filled_head(meta, tag):
    """The student's or the teacher's head of a case with its weights."""
    to_section = HEADS[meta["head"]["type"]][0]
    section = meta["head"] if tag == "student" else meta["head"] | meta["teacher_head"]
    section = {key: value for key, value in section.items() if key not in DISTILLATION_KEYS}
    head = build(to_section(section, meta["resolved"]) | {"reg_max": meta["resolved"]["reg_max"]})
    state = {
        f"bbox_head.{name}": values
        for name, values in fill.state_dict({"params": {"model": meta["params"][tag]}}, "model").items()
    }
    assign_state(Holder(head), state, what=f"golden weights of the {tag}")
    return head


def trace_of(meta, head, prefix="", targets=None):
    maps = [generated(meta, f"{prefix}x/{level}") for level in range(len(head.priors.strides))]
    places = head.priors.priors([x.shape[2:] for x in maps])
    return trace_of_stage(stage_of(head, head(maps), places, targets), maps)


@pytest.fixture(
    scope="module",
    params=[
        name for kind in ("atss", "gflv2", "retina", "fcos") for name in param_cases(f"h_{kind}_ld_head*")
    ],
)
def scene(request):
    """meta, arrays, student's head, step, teacher's trace."""
    meta, arrays = case(request.param)
    student = filled_head(meta, "student")
    num_images = generated(meta, "x/0").shape[0]
    targets = targets_of(arrays, num_images)
    trace = trace_of(meta, student, targets=targets)
    with jt.no_grad():
        teacher = trace_of(meta, filled_head(meta, "teacher"), "teacher_")
    return meta, arrays, student, step_of(trace, targets), teacher


def test_maps_equal_golden(scene):
    meta, arrays, _, step, teacher = scene
    for prefix, stage in (("", step.trace.stage()), ("teacher_", teacher.stage())):
        for place, key in enumerate(HEADS[meta["head"]["type"]][2]):
            values = stage.predictions[key].numpy()
            for level, (rows, (height, width)) in enumerate(
                zip(stage.places.level_slices, stage.places.level_sizes, strict=True)
            ):
                cells = values[:, rows].reshape(len(values), height, width, -1)
                name = f"out/{prefix}head{place}/{level}"
                assert_sampled(meta, arrays, name, cells.transpose(0, 3, 1, 2), 1e-4)


def test_losses_terms_and_gradients_equal_golden(scene):
    meta, arrays, head, step, teacher = scene
    trace = step.trace
    terms = [build(section) for section in HEADS[meta["head"]["type"]][1](meta["resolved"])]
    lessons = [Lesson(term) for term in terms]
    distiller = Distiller({"teacher": GivenTeacher(teacher, head)}, lessons, named_regions(REGIONS, terms))
    losses = head.losses(trace.stage()) | bound_to(distiller, head)(step)
    assert not arrays.get(f"loss/{DEAD_LOSS}", np.zeros(1)).any()
    released = {key.removeprefix("loss/") for key in arrays if key.startswith("loss/")}
    assert set(losses) == released - {"total", DEAD_LOSS}
    parameters = dict(head.named_parameters())
    names = meta["grad_names"]
    sources = list(trace.features) + [parameters[name] for name in names]
    total = sum(losses.values())
    gradients = [gradient.numpy() for gradient in jt.grad(total, sources)]
    for name, value in losses.items():
        expected = arrays[f"loss/{name}"].astype(np.float64).sum()
        np.testing.assert_allclose(value.item(), expected, rtol=5e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(total.item(), arrays["loss/total"], rtol=5e-4)
    norms = [np.linalg.norm(gradient.astype(np.float64)) for gradient in gradients[len(trace.features) :]]
    np.testing.assert_allclose(norms, arrays["grad_norms"], rtol=2e-3, atol=1e-7)
    labels = [f"x/{level}" for level in range(len(trace.features))] + names
    by_key = dict(zip(labels, gradients, strict=True))
    checked = {key.split("/", 1)[1].rsplit("/", 1)[0] for key in arrays if key.startswith("grad/")}
    assert checked <= set(by_key)
    for name in checked:
        expected = arrays[f"grad/{name}/sample"]
        got = by_key[name].ravel()[fill.sample_index(by_key[name].size, len(expected))]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-2 * np.abs(expected).max(), err_msg=name)


def test_detections_equal_golden(scene):
    _, arrays, head, step, _ = scene
    batch = batch_of(arrays, step.features[0].shape[0])
    for image, found in enumerate(head.detect(step.trace.stage(), batch)):
        assert_detections_match(found, arrays[f"out/det/boxes/{image}"], arrays[f"out/det/labels/{image}"])
