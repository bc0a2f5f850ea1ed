"""LD terms on given maps and through whole models, against the released LDHead."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.distill import Distiller, Lesson
from jld.distill.distiller import named_regions
from jld.models import Trace
from jld.models.heads.dense_head import flatten_levels
from jld.optim import SGD, Optimizers
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.golden_cases import case, param_cases
from tests.models.golden_models import (
    assert_sampled,
    build_model,
    generated,
    head_config,
    take,
    targets_of,
)
from tests.stages import GivenTeacher, bound_to, stage_of, step_of
from tests.stages import trace_of as trace_of_stage

KL = "KnowledgeDistillationKLDivLoss"
IMITATION_REGIONS = {"gibox": "gi", "finegrained": "fine_grained", "fitnet": "inside_gt"}
DISTILLATION_KEYS = ("loss_ld", "loss_ld_vlr", "loss_kd", "loss_im", "imitation_method")
# The released VLR KD is multiplied by zero.
DEAD = "loss_kd_neg"


def term_sections(resolved: dict) -> list[dict]:
    """The LDHead settings of a case as terms of ours; weight 0 is left out as when a config is built."""
    ld, vlr, kd = (
        take(resolved[key], type=KL, reduction="mean") for key in ("loss_ld", "loss_ld_vlr", "loss_kd")
    )
    im = take(resolved["loss_im"], type="IMLoss", reduction="mean")
    sections = [
        dict(type="LocalizationKD", region="main", weight=ld.pop("loss_weight"), temperature=ld.pop("T")),
        dict(
            type="LocalizationKD",
            region="vlr",
            weight=vlr.pop("loss_weight") / 4,
            temperature=vlr.pop("T"),
            weighting="iou",
        ),
        dict(type="ClassificationKD", region="main", weight=kd.pop("loss_weight"), temperature=kd.pop("T")),
    ]
    method = resolved["imitation_method"]
    if method != "decouple":
        region = IMITATION_REGIONS[method]
        sections.append(
            dict(
                type="FeatureImitation",
                region=region,
                weight=im.pop("loss_weight"),
                needs_positives=True,
                name="loss_im",
            )
        )
        assert not im, im
    assert not ld and not vlr and not kd, (ld, vlr, kd)
    return [section for section in sections if section["weight"]]


def make_distiller(sections, teacher_trace, head, regions=None) -> Distiller:
    terms = [build(section) for section in sections]
    released = {"gi": dict(type="GeneralInstance", padding="at_origin", thinning="batch")}
    distiller = Distiller(
        {"teacher": GivenTeacher(teacher_trace, head)},
        list(map(Lesson, terms)),
        named_regions(released, terms) | (regions or {}),
    )
    return bound_to(distiller, head)


def given_head(meta):
    head = {key: value for key, value in meta["head"].items() if key not in DISTILLATION_KEYS}
    assert head["type"] == "LDHead"
    section = head_config({**head, "type": "GFLHead"}, head["train_cfg"], head["test_cfg"])
    return build({**section, "in_channels": 32, "feat_channels": 32})


def given_maps(meta, levels, prefix=""):
    return {
        key: [generated(meta, f"{prefix}{key}/{level}") for level in levels]
        for key in ("cls_score", "bbox_pred", "x")
    }


def trace_of(head, maps, targets=None) -> Trace:
    shapes = head.prediction_shapes()
    predictions = {
        "cls_logits": flatten_levels(maps["cls_score"], per_prior=shapes["cls_logits"]),
        "box_logits": flatten_levels(maps["bbox_pred"], per_prior=shapes["box_logits"]),
    }
    places = head.priors.priors([x.shape[2:] for x in maps["x"]])
    return trace_of_stage(stage_of(head, predictions, places, targets), maps["x"])


def expected_losses(arrays) -> dict[str, float]:
    values = {
        key.removeprefix("loss/"): arrays[key].astype(np.float64).sum()
        for key in arrays
        if key.startswith("loss/") and key != "loss/total"
    }
    assert values.pop(DEAD, 0.0) == 0
    return values


def assert_losses(losses, expected, rtol):
    """Terms of weight 0 are not computed here; the reference prints zeros for them."""
    left_out = {name for name, value in expected.items() if value == 0} - set(losses)
    assert set(losses) == set(expected) - left_out
    for name, value in losses.items():
        np.testing.assert_allclose(value.item(), expected[name], rtol=rtol, atol=1e-6, err_msg=name)


def prepared(name):
    meta, arrays = case(name)
    head = given_head(meta)
    levels = range(len(head.priors.strides))
    maps, teacher_maps = given_maps(meta, levels), given_maps(meta, levels, "teacher_")
    targets = targets_of(arrays, maps["x"][0].shape[0])
    return meta, arrays, head, maps, trace_of(head, maps, targets), trace_of(head, teacher_maps), targets


@pytest.mark.parametrize("name", param_cases("h_ld_loss_*"))
def test_terms_on_given_maps_equal_golden(name):
    meta, arrays, head, maps, trace, teacher, targets = prepared(name)
    step = step_of(trace, targets)
    distiller = make_distiller(term_sections(meta["resolved"]), teacher, head)
    losses = distiller(step)
    if "raises" in meta:
        # The reference stops in these cases; ours must give finite losses.
        assert all(np.isfinite(value.item()) for value in losses.values())
        if "intended/im_foreground" in arrays:
            assert_decoupled(step, teacher, head, arrays, meta)
        return
    task = head.losses(trace.stage())
    assert_losses(task | losses, expected_losses(arrays), 1e-4)
    assert_region(distiller, "vlr", arrays, meta)
    assert_term_gradients(meta, arrays, maps, losses)


def assert_region(distiller, region, arrays, meta):
    if meta["fragile_regions"][region] == 0:
        size = distiller.log_values()[f"region/{region}"].item()
        assert size == (arrays[f"out/tgt/{region}_region"] > 0).sum()


def assert_decoupled(step, teacher, head, arrays, meta):
    weight = meta["resolved"]["loss_im"]["loss_weight"]
    # The file counts the padding of the batch as background, which our `background` region leaves out.
    inside = named_regions(None, [SimpleNamespace(regions=("inside_gt",))])["inside_gt"]
    complement = {"complement": lambda context: 1.0 - inside(context)}
    for region, key in (("inside_gt", "im_foreground"), ("complement", "im_background")):
        section = dict(type="FeatureImitation", region=region, weight=weight)
        (value,) = make_distiller([section], teacher, head, complement)(step).values()
        np.testing.assert_allclose(
            value.item(), arrays[f"intended/{key}"].astype(np.float64).sum(), rtol=1e-4
        )


def assert_term_gradients(meta, arrays, maps, losses):
    """Every `grad/<term>/<maps>/<level>` of the file, each term by itself."""
    for term, value in losses.items():
        keys = [key for key in ("cls_score", "bbox_pred", "x") if f"grad/{term}/{key}/0/norm" in arrays]
        assert keys or not any(name.startswith(f"grad/{term}/") for name in arrays), term
        for key in keys:
            for level, gradient in enumerate(jt.grad(value, maps[key])):
                got = gradient.numpy()
                if f"grad/{term}/{key}/{level}" in meta["sampled"]:
                    assert_sampled(meta, arrays, f"grad/{term}/{key}/{level}", got, 1e-4)
                else:
                    np.testing.assert_allclose(
                        got, arrays[f"grad/{term}/{key}/{level}"], rtol=1e-4, atol=1e-7
                    )


def student_and_teacher(meta):
    """Both detectors of a whole-model case, filled with their weights."""
    model = dict(meta["model"])
    assert model["type"] == "KnowledgeDistillationSingleStageDetector" and model["output_feature"]
    head = {key: value for key, value in model["bbox_head"].items() if key not in DISTILLATION_KEYS}
    configs = {"train_cfg": model["train_cfg"], "test_cfg": model["test_cfg"]}
    student = {
        "type": "GFL",
        "pretrained": None,
        "backbone": model["backbone"],
        "neck": model["neck"],
        "bbox_head": {**head, "type": "GFLHead"},
    }
    sections = {"student": student, "teacher": model["teacher_config"]["model"]}
    return [
        build_model({"model": section, "params": {"model": meta["params"][tag]}, **configs})
        for tag, section in sections.items()
    ]


def step_losses(student, distiller, images, targets):
    trace = student.predict(student.features(images), targets)
    return student.losses(trace, targets) | distiller(step_of(trace, targets, student, images))


@pytest.mark.parametrize("name", param_cases("h_ld*_full"))
def test_whole_models_equal_golden(name):
    meta, arrays = case(name)
    student, teacher = student_and_teacher(meta)
    images = generated(meta, "img")
    with jt.no_grad():
        teacher_trace = teacher.eval()(images)
    distiller = make_distiller(term_sections(meta["resolved"]), teacher_trace, student.bbox_head)
    targets = targets_of(arrays, images.shape[0])
    losses = step_losses(student, distiller, images, targets)
    parameters = dict(student.named_parameters())
    gradients = jt.grad(sum(losses.values()), [parameters[name] for name in meta["grad_names"]])
    assert_losses(losses, expected_losses(arrays), 5e-4)
    norms = [np.linalg.norm(gradient.numpy().astype(np.float64)) for gradient in gradients]
    np.testing.assert_allclose(norms, arrays["grad_norms"], rtol=2e-3, atol=1e-7)
    if "sgd" in meta:
        assert_sgd_equal(meta, arrays, lambda: student_and_teacher(meta)[0], distiller, images, targets)


def assert_sgd_equal(meta, arrays, new_student, distiller, images, targets):
    """Losses of three steps on one batch; the teacher's trace never changes."""
    settings = dict(meta["sgd"])
    steps, clip = settings.pop("steps"), settings.pop("grad_clip")
    assert clip is None
    student = new_student()
    optimizer = Optimizers(SGD(dict(student.named_parameters()), **settings))
    for step, rtol in zip(range(steps), (5e-4, 5e-3, 1e-2), strict=True):
        losses = (
            step_losses(student, distiller, images, targets)
            if distiller
            else task_losses(student, images, targets)
        )
        total = sum(losses.values())
        optimizer.backward(total)
        optimizer.step()
        np.testing.assert_allclose(total.item(), arrays["sgd/total"][step], rtol=rtol)
        for name, value in losses.items():
            np.testing.assert_allclose(
                value.item(), arrays[f"sgd/{name}"][step], rtol=rtol, atol=1e-6, err_msg=name
            )


def task_losses(student, images, targets):
    return student.losses(student.predict(student.features(images), targets), targets)


@pytest.mark.parametrize("name", param_cases("h_gfl_sgd*"))
def test_plain_training_steps_equal_golden(name):
    meta, arrays = case(name)
    meta = {
        "test_cfg": {
            "score_thr": 0.05,
            "nms_pre": 1000,
            "max_per_img": 100,
            "nms": {"type": "nms", "iou_threshold": 0.6},
        },
        **meta,
    }
    images = generated(meta, "img")
    assert_sgd_equal(
        meta, arrays, lambda: build_model(meta), None, images, targets_of(arrays, images.shape[0])
    )
