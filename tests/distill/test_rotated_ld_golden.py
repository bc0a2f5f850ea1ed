"""Rotated LD terms on given maps and through whole models, against Zzh-tju/Rotated-LD."""

import numpy as np
import pytest

from jld.assign.regions import ReleasedRotatedLDRegion, RotatedFineGrained
from jld.distill import Distiller, Lesson
from jld.distill.context import StepContext
from jld.distill.distiller import named_regions
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.golden_cases import case, cases, param_cases
from tests.models.golden_models import generated, take
from tests.models.golden_rotated import (
    MAPS,
    assert_detections_of_model,
    assert_losses_equal,
    assert_map_gradients,
    assert_maps_equal,
    assert_parameter_gradients,
    assert_sgd_equal,
    assert_targets_equal,
    build_rotated,
    expected_losses,
    given_head,
    given_maps,
    rotated_targets,
    stage_of_maps,
)
from tests.stages import GivenTeacher, bound_to, step_of, trace_of

KL = "KnowledgeDistillationKLDivLoss"
# Both released terms: soft weights inside one region that ignores angles, mean per level, sum over deltas.
REGION = "rotated_ld_released"
SHARED = {"region": REGION, "weighting": "iou", "reduction": "per_level_mean"}
# `fitnet` is read nowhere in the released rotated head: it is the fine-grained mask again.
IMITATION_METHODS = ("finegrained", "fitnet")
BROKEN_METHODS = ("gibox", "decouple")


def term_sections(resolved: dict) -> list[dict]:
    """The settings of the released head as terms of ours; weight 0 is left out as when a config is built."""
    ld, kd = (take(resolved[key], type=KL, reduction="mean") for key in ("loss_ld", "loss_kd"))
    sections = [
        dict(
            type="LocalizationKD",
            sides="sum",
            weight=ld.pop("loss_weight"),
            temperature=ld.pop("T"),
            **SHARED,
        ),
        dict(type="ClassificationKD", weight=kd.pop("loss_weight"), temperature=kd.pop("T"), **SHARED),
    ]
    assert not ld and not kd
    im = take(resolved["loss_im"], type="IMLoss", reduction="mean")
    weight = im.pop("loss_weight")
    assert not im and resolved["imitation_method"] in IMITATION_METHODS + BROKEN_METHODS
    if resolved["imitation_method"] in IMITATION_METHODS:
        sections.append(dict(type="FeatureImitation", region="given", weight=weight, name="loss_im"))
    return [
        {**section, "name": section.get("name", default)}
        for section, default in zip(sections, ("loss_ld", "loss_kd", "loss_im"), strict=False)
        if section["weight"]
    ]


def make_distiller(sections, teacher_trace, head, imitation=None) -> Distiller:
    terms = [build(section) for section in sections]
    given = {} if imitation is None else {"given": imitation}
    teachers = {"teacher": GivenTeacher(teacher_trace, head)}
    return bound_to(Distiller(teachers, list(map(Lesson, terms)), named_regions(None, terms) | given), head)


def given_cells(arrays, key):
    """A region: the cells of `<key>/<level>` [N, H * W], marked at the first prior of each."""

    def region(context):
        levels = []
        for level, rows in enumerate(context.places.level_slices):
            cells = arrays[f"{key}/{level}"].reshape(context.valid_mask.shape[0], -1)
            marks = np.zeros((*cells.shape, context.places.num_per_cell), np.float32)
            marks[:, :, 0] = cells
            assert marks[0].size == rows.stop - rows.start
            levels.append(marks.reshape(len(cells), -1))
        return jt.array(np.concatenate(levels, 1))

    return region


def nothing(context):
    return jt.zeros_like(context.valid_mask)


def prepared(name):
    meta, arrays = case(name)
    head = given_head(meta)
    levels = range(len(head.priors.strides))
    maps, teacher_maps = (given_maps(meta, levels, prefix, (*MAPS, "x")) for prefix in ("", "teacher_"))
    targets = rotated_targets(arrays, maps["x"][0].shape[0])
    student = trace_of(stage_of_maps(head, maps, targets), maps["x"])
    teacher = trace_of(stage_of_maps(head, teacher_maps), teacher_maps["x"])
    return meta, arrays, head, maps, step_of(student, targets), teacher


@pytest.mark.parametrize("name", param_cases("r_ld_*"))
def test_terms_on_given_maps_equal_golden(name):
    meta, arrays, head, maps, step, teacher = prepared(name)
    stage = step.trace.stage()
    # The released mask is scrambled (see the notes of the case); the term is checked on what it selects.
    has_mask = "out/im_mask/0" in arrays
    imitation = given_cells(arrays, "out/im_mask") if has_mask else nothing
    distiller = make_distiller(term_sections(meta["resolved"]), teacher, head, imitation)
    losses = head.losses(stage) | distiller(step)
    if "out/tgt/ld_region" in arrays:
        assert_targets_equal(meta, arrays, stage)
        weights = region_weights(ReleasedRotatedLDRegion(), step)
        np.testing.assert_allclose(weights, arrays["out/tgt/ld_region"], atol=1e-5)
        marks = region_weights(RotatedFineGrained(geometry="ignore_angle"), step)
        np.testing.assert_array_equal(marks > 0, arrays["out/tgt/im_region"] > 0)
    if "raises" in meta:
        # The reference stops in these cases; ours must give finite losses and gradients.
        assert all(np.isfinite(value.item()) for value in losses.values())
        for gradient in jt.grad(sum(losses.values()), maps["cls_score"] + maps["bbox_pred"]):
            assert np.isfinite(gradient.numpy()).all()
        return
    assert_losses_equal(losses, expected_losses(arrays), 1e-4)
    assert_map_gradients(meta, arrays, maps, sum(losses.values()))
    for term in ("loss_ld", "loss_kd", "loss_im"):
        if term in losses:
            assert_map_gradients(meta, arrays, maps, losses[term], prefix=f"grad/{term}")


def region_weights(region, step) -> np.ndarray:
    """[N, P] of a region."""
    return StepContext(step, None, {"it": region}).region("it").numpy()


def distilled_cases():
    """Whole-model cases with a teacher."""
    names = [name for name in cases("r_full_*") if "teacher" in case(name)[0]["params"]]
    return names or param_cases("r_full_ld_*")


@pytest.mark.parametrize("name", distilled_cases())
def test_whole_models_equal_golden(name):
    meta, arrays = case(name)
    assert meta["model"]["type"] == "KnowledgeDistillationRotatedSingleStageDetector"
    student = build_rotated(meta, meta["model"], "student", test_cfg=meta["det_cfg"])
    teacher = build_rotated(meta, meta["model"]["teacher_config"]["model"], "teacher")
    images = generated(meta, "img")
    with jt.no_grad():
        teacher_trace = teacher.eval()(images)
    assert_maps_equal(meta, arrays, teacher, images, teacher_trace, "teacher_")
    distiller = make_distiller(term_sections(meta["resolved"]), teacher_trace, student.bbox_head)
    targets = rotated_targets(arrays, images.shape[0])

    def step_losses():
        trace = student.predict(student.features(images), targets)
        return student.losses(trace, targets) | distiller(step_of(trace, targets, student, images))

    trace = student.predict(student.features(images), targets)
    assert_maps_equal(meta, arrays, student, images, trace)
    assert_detections_of_model(arrays, student, trace)
    assert_targets_equal(meta, arrays, trace.stage())
    losses = step_losses()
    assert_losses_equal(losses, expected_losses(arrays), 5e-4)
    assert_parameter_gradients(meta, arrays, dict(student.named_parameters()), sum(losses.values()))
    if "sgd" in meta:
        assert_sgd_equal(meta, arrays, student, step_losses)
