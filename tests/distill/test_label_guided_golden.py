"""The painter and the distillation loss on given maps, against LGD's DynamicTeacher and distillator."""

import contextlib
import dataclasses

import numpy as np
import pytest

from jld.checkpoint.names.lgd import painter_part
from jld.data.instance_masks import PolygonMasks
from jld.distill.distiller import Distiller, Lesson
from jld.distill.label_guided.instances import descriptor_size, instances_of
from jld.distill.label_guided.painter import LabelPainter
from jld.distill.schedule import TermSchedule
from jld.distill.step import Step
from jld.distill.terms import InstructiveMSE
from jld.models.interface import Interface
from jld.models.targets import Targets
from jld.models.trace import Trace
from jld.toolchain import jittor as jt
from tests.assign.scenes import padded
from tests.golden_cases import case, fill, param_cases
from tests.models.golden_models import assert_sampled, generated
from tests.ops.test_mask_targets import on_device

INTERACTIONS = {"stuGuided": "student_guided", "labelGuided": "label_guided", "teacher_fill": "label_fill"}
RTOL, GRADIENT_RTOL = 1e-4, 1e-3
NUM_CLASSES = 80
# Inputs of some ReLUs are 0 up to rounding, and which side they round to is the processor's. Gradients
# agree with the golden's on the golden's side; moving weights by rounding errors finds it.
ROUNDING, ROUNDED_POINTS = 2e-7, 12


def per_image(arrays, key):
    """The stored arrays `key/0`, `key/1`, ..."""
    count = sum(name.startswith(f"{key}/") for name in arrays)
    return [arrays[f"{key}/{image}"] for image in range(count)]


def golden_targets(arrays, image_size):
    boxes, mask = padded(per_image(arrays, "in/gt_bboxes"), 4)
    labels, _ = padded([row[:, None] for row in per_image(arrays, "in/gt_labels")], 1, np.int32)
    none = np.zeros_like(boxes[:, :8])
    return Targets.from_batch(
        {
            "boxes": boxes, "labels": labels[..., 0], "box_mask": mask,
            "boxes_ignore": none, "ignore_mask": none[..., 0],
            "pad_shapes": np.tile(np.float32(image_size), (len(boxes), 1)),
            "img_shapes": np.float32(per_image(arrays, "in/img_shape")),
        }
    )  # fmt: skip


def golden_masks(arrays, image_size, slots):
    """The polygons of every image's objects in a batch."""
    shapes = [
        [
            [part.reshape(-1, 2) for part in per_image(arrays, f"in/gt_polys/{image}/{index}")]
            for index in range(len(boxes))
        ]
        for image, boxes in enumerate(per_image(arrays, "in/gt_bboxes"))
    ]
    return on_device([PolygonMasks.of(each, size=image_size) for each in shapes], image_size, slots).masks


def golden_painter(meta):
    settings = meta["teacher"]
    painter = LabelPainter(
        descriptor_size(NUM_CLASSES, 4, with_masks=settings["load_labelmap"]),
        256,
        context_box=settings["add_context_box"],
        interaction=INTERACTIONS.get(settings["interact_pattern"], settings["interact_pattern"]),
        detach_appearance=settings["detach_appearance_embed"],
        num_heads=settings["heads"],
    )
    state, prefix = fill.state_dict(meta, "teacher"), "w/teacher/"
    for key, spec in meta["generated"].items():
        if key.startswith(prefix):
            state[key.removeprefix(prefix)] = fill.generate(spec)
    weights = painter_part(state)
    parameters = dict(painter.named_parameters())
    for name, parameter in parameters.items():
        assert tuple(parameter.shape) == weights[name].shape, name
        parameter.assign(jt.array(weights[name]))
    # What our painter does not have gets no gradient in the reference either.
    without = {name for name in painter_part({key: np.zeros(1) for key in meta["grad_none"]})}
    assert set(weights) - set(parameters) == without
    return painter


def scene(name):
    meta, arrays = case(name)
    levels = sorted(key.removeprefix("x/") for key in meta["generated"] if key.startswith("x/"))
    size = tuple(meta["teacher"]["padded"])
    targets, with_masks = golden_targets(arrays, size), meta["teacher"]["load_labelmap"]
    if with_masks:
        targets = dataclasses.replace(targets, masks=golden_masks(arrays, size, targets.mask.shape[1]))
    settings = dict(context_box=meta["teacher"]["add_context_box"], with_masks=with_masks)
    instances = instances_of(targets, NUM_CLASSES, size, **settings)
    return meta, arrays, levels, instances


def real_rows(values, instances):
    """NumPy [T, ...] the rows that are there, image after image: the reference's only ones."""
    return values.numpy()[instances.real.numpy() > 0]


@pytest.mark.golden
@pytest.mark.parametrize("name", param_cases("l_teacher_*"))
def test_painted_maps_and_gradients_equal_golden(name):
    meta, arrays, levels, instances = scene(name)
    check_instances(arrays, levels, instances, [meta["generated"][f"x/{level}"]["shape"] for level in levels])
    painter = golden_painter(meta)
    features = [generated(meta, f"x/{level}") for level in levels]
    painted = painter(features, instances)
    check_parts(meta, arrays, levels, instances, painter, features)
    for level, z in zip(levels, painted, strict=True):
        assert_sampled(meta, arrays, f"out/z/{level}", z.numpy(), RTOL)
        flat = z.numpy().reshape(len(z), -1).astype(np.float64)
        np.testing.assert_allclose(flat.mean(1), 0, atol=1e-6)
        np.testing.assert_allclose(flat.std(1), 1, atol=1e-3)
    noise = [generated(meta, f"r/{level}") for level in levels]
    for _ in rounded_points(painter):
        painted = painter(features, instances)
        loss = 0.01 * sum((z * r).sum() for z, r in zip(painted, noise, strict=True))
        np.testing.assert_allclose(loss.item(), arrays["loss/total"], atol=1e-3)
        parameters = dict(painter.named_parameters())
        gradients = jt.grad(loss, [*parameters.values(), *features])
        with contextlib.suppress(AssertionError):
            check_all_gradients(meta, arrays, levels, list(parameters), gradients)
            return
    check_all_gradients(meta, arrays, levels, list(parameters), gradients)


def rounded_points(module):
    """Leaves the weights of `module` as they are once, then moves them by ever new rounding errors."""
    weights = [(parameter, parameter.numpy()) for parameter in module.parameters()]
    for seed in range(ROUNDED_POINTS):
        rng, scale = np.random.default_rng(seed), ROUNDING if seed else 0.0
        for parameter, values in weights:
            moved = values * (1 + scale * rng.normal(size=values.shape))
            parameter.assign(jt.array(moved.astype(np.float32)))
        yield seed


def check_all_gradients(meta, arrays, levels, names, gradients):
    check_gradients(meta, arrays, dict(zip(names, gradients, strict=False)))
    for level, gradient in zip(levels, gradients[-len(levels) :], strict=True):
        check_map_gradient(meta, arrays, level, gradient.numpy())


def check_instances(arrays, levels, instances, shapes):
    clamped = np.concatenate(per_image(arrays, "out/clamped"))
    np.testing.assert_array_equal(real_rows(instances.boxes, instances), clamped)
    descriptors = np.concatenate(per_image(arrays, "out/descriptor"))
    np.testing.assert_allclose(real_rows(instances.descriptors, instances), descriptors, atol=1e-6)
    for level, shape in zip(levels, shapes, strict=True):
        cells = real_rows(instances.cells(*shape[2:]), instances)
        np.testing.assert_array_equal(cells, arrays[f"out/mask/{level}"])


def check_parts(meta, arrays, levels, instances, painter, features):
    cells = [instances.cells(*x.shape[2:]) for x in features]
    rows = painter.related(features, cells, instances)
    pairs = [("attention", rows)] if painter.interaction.attends else []
    if painter.interaction.reads("student"):
        pairs.append(("appearance", painter.appearances(features, cells)))
    for key, found in pairs:
        for level, values in zip(levels, found, strict=True):
            assert_sampled(meta, arrays, f"out/{key}/{level}", real_rows(values, instances), RTOL)
    if painter.interaction.reads("labels"):
        encoder = painter.encoder
        embedded = real_rows(encoder(instances.descriptors, instances.real), instances)
        np.testing.assert_allclose(embedded, arrays["out/label_embed"], atol=1e-4)
        assert_sampled(meta, arrays, "out/value", real_rows(painter.values(instances), instances), RTOL)
        matrices = encoder.stn_desc.matrices(instances.descriptors)
        assert_sampled(meta, arrays, "out/stn_desc", real_rows(matrices, instances), RTOL)
    rendered = painter.mapper.rendered(rows, cells, instances.paints)
    for level, x in zip(levels, rendered, strict=True):
        assert_sampled(meta, arrays, f"out/rendered/{level}", x.numpy(), RTOL)


def check_gradients(meta, arrays, gradients):
    ours = {name: next(iter(painter_part({name: np.zeros(1)}))) for name in meta["grad_names"]}
    assert set(ours.values()) == set(gradients)
    for index, (name, own) in enumerate(ours.items()):
        gradient, norm = gradients[own].numpy(), arrays["grad_norms"][index]
        found = np.linalg.norm(gradient.astype(np.float64))
        np.testing.assert_allclose(found, norm, rtol=GRADIENT_RTOL, atol=1e-6, err_msg=name)
        if f"grad/{name}" in meta["sampled"]:
            shape = meta["sampled"][f"grad/{name}"]["shape"]
            assert_sampled(meta, arrays, f"grad/{name}", gradient.reshape(shape), GRADIENT_RTOL)


def check_map_gradient(meta, arrays, level, gradient):
    norms = arrays.get(f"grad_norms/x_per_image/{level}", np.zeros(len(gradient)))
    found = np.linalg.norm(gradient.reshape(len(gradient), -1).astype(np.float64), axis=1)
    np.testing.assert_allclose(found, norms, rtol=GRADIENT_RTOL, atol=1e-9, err_msg=level)
    if f"grad/x/{level}" in meta["sampled"]:
        assert_sampled(meta, arrays, f"grad/x/{level}", gradient, GRADIENT_RTOL)


class MapTeacher:
    """A teacher whose maps are given."""

    def __init__(self, maps, interface):
        self.maps, self.interface = maps, interface

    def bind(self, student):
        pass

    def __call__(self, step):
        return Trace(self.maps, self.interface.strides, {})

    def losses(self, trace, targets):
        return {}

    def modules(self):
        return {}


@pytest.mark.golden
@pytest.mark.parametrize("phase", ["on", "off"])
def test_distillation_loss_equals_golden(phase):
    meta, arrays = case("l_distill")
    levels = [f"p{level}" for level in range(3, 8)]
    features, painted = ([generated(meta, f"{side}/{level}") for level in levels] for side in "xz")
    interface = Interface((), (8, 16, 32, 64, 128), 256, None, {})
    term = InstructiveMSE(meta["lambda_"])
    term.bind(interface, interface)
    parameters = dict(term.modules()["adapter"].named_parameters())
    for name, values in fill.state_dict(meta, "adapter").items():
        parameters[name.removeprefix("adapter.distill.adapter.")].assign(jt.array(values))
    lesson = Lesson(term, "teacher", TermSchedule(start=0 if phase == "on" else 7))
    distiller = Distiller({"teacher": MapTeacher(painted, interface)}, [lesson], {})
    step = Step(None, None, None, features, Trace(features, interface.strides, {"dense": GivenStage()}))
    loss = distiller(step)["loss_distill"]
    np.testing.assert_allclose(loss.item(), arrays[f"loss/{phase}/loss_distill"], rtol=1e-4)
    gradients = [g.numpy() for g in jt.grad(loss, [*parameters.values(), *features, *painted])]
    named = dict(zip(parameters, gradients, strict=False))
    for index, name in enumerate(meta[f"grad_names/{phase}"]):
        own, norm = named[name.removeprefix("adapter.distill.adapter.")], arrays[f"grad_norms/{phase}"][index]
        found = np.linalg.norm(own.astype(np.float64))
        np.testing.assert_allclose(found, norm, rtol=GRADIENT_RTOL, atol=1e-6, err_msg=name)
        key = f"grad/{phase}/{name}"
        if key in meta["sampled"] and norm > 1e-6:  # an instance norm takes the last bias out
            assert_sampled(meta, arrays, key, own, GRADIENT_RTOL)
    to_features, to_painted = gradients[-10:-5], gradients[-5:]
    assert not any(gradient.any() for gradient in to_painted)
    for level, gradient in zip(levels, to_features, strict=True):
        if phase == "on":
            assert_sampled(meta, arrays, f"grad/on/x/{level}", gradient, GRADIENT_RTOL)
        assert gradient.any() == (phase == "on")


class GivenStage:
    """A stage of which nothing is read but places and its detached self."""

    places = None

    def detached(self):
        return self


def test_a_map_of_one_cell_neither_teaches_nor_stops():
    term = InstructiveMSE()
    interface = Interface((), (8, 16), 4, None, {})
    term.bind(interface, interface)
    rng = np.random.default_rng(0)
    maps = [
        [jt.array(rng.normal(size=(2, 4, side, side)).astype(np.float32)) for side in (2, 1)]
        for _ in range(2)
    ]
    step = Step(None, None, None, maps[0], Trace(maps[0], interface.strides, {"dense": GivenStage()}))
    distiller = Distiller({"teacher": MapTeacher(maps[1], interface)}, [Lesson(term)], {})
    loss = distiller(step)["loss_distill"]
    fine, coarse = (gradient.numpy() for gradient in jt.grad(loss, maps[0]))
    assert np.isfinite(loss.item()) and loss.item() > 0 and fine.any() and not coarse.any()
