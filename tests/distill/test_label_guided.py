"""The label-guided teacher: what its maps depend on, whom its losses teach, and how a training goes on."""

import dataclasses
import re
from functools import partial

import numpy as np
import pytest

from jld.checkpoint import read_training_state, write_safetensors
from jld.checkpoint.names import lgd
from jld.config import Config
from jld.distill import LabelGuidedTeacher, Step, build_distiller
from jld.distill.label_guided.encoder import largest
from jld.distill.label_guided.instances import descriptor_size, instances_of
from jld.distill.label_guided.painter import LabelPainter
from jld.distill.label_guided.teacher import load_painter
from jld.errors import CheckpointError, ConfigError
from jld.models import build_detector
from jld.models.targets import Targets
from jld.ops.mask_targets import BitmapTargets
from jld.optim import SGD, Optimizers, StepLR, divided
from jld.runner import TrainingLoop
from jld.runner import state as states
from jld.runner.hooks import Hook
from jld.runner.parts import trainable_parameters
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.distill import test_distiller as tiny
from tests.models import test_two_stage as two_stage
from tests.models.golden_models import batch_of

parts, weights, batches, teacher_file = tiny.parts, tiny.weights, tiny.batches, tiny.teacher_file
SIZE, CHANNELS, NUM_CLASSES = (64, 96), 16, 5
LEVELS = [(8, 12), (4, 6)]
BOXES = np.float32([(5, 3, 40, 30), (20, 10, 90, 60), (2, 40, 25, 63)])


def maps(num_images=2, seed=0):
    """Maps whose first images are the same for any number of them."""
    rng = np.random.default_rng(seed)
    return [
        jt.array(rng.normal(size=(3, CHANNELS, *size)).astype(np.float32)[:num_images]) for size in LEVELS
    ]


def painter(num_sides=4, seed=1, **settings):
    """A painter with values from NumPy: drawing them in Jittor would compile a kernel per initialisation."""
    made = LabelPainter(descriptor_size(NUM_CLASSES, num_sides), CHANNELS, num_heads=4, **settings)
    refill(made, seed)
    return made


def refill(module, seed):
    rng = np.random.default_rng(seed)
    for var in module.parameters():
        spread = np.prod(var.shape[1:]) ** -0.5 if var.ndim > 1 else 0.1
        var.assign(jt.array(rng.normal(0, spread, var.shape).astype(np.float32)))


def objects(boxes, labels=None, context_box=True):
    targets = make_targets(boxes, [SIZE] * len(boxes), labels)
    return instances_of(targets, NUM_CLASSES, SIZE, context_box=context_box)


def painted(made, instances, features=None):
    return [z.numpy() for z in made(features or maps(len(instances.real)), instances)]


def test_the_order_of_objects_and_other_images_labels_change_nothing():
    made, order = painter(), [2, 0, 1]
    labels = [np.array([4, 0, 2]), np.array([1, 1, 3])]
    first = painted(made, objects([BOXES, BOXES], labels))
    turned = painted(made, objects([BOXES[order], BOXES], [labels[0][order], labels[1]]))
    other = painted(made, objects([BOXES, BOXES[:1]], [labels[0], labels[1][:1]]))
    for own, same, changed in zip(first, turned, other, strict=True):
        np.testing.assert_allclose(own, same, atol=1e-5)
        np.testing.assert_array_equal(own[0], changed[0])
        assert np.abs(own[1] - changed[1]).max() > 0.1
    relabelled = painted(made, objects([BOXES, BOXES], [labels[0][order], labels[1]]))
    assert np.abs(relabelled[0][0] - first[0][0]).max() > 1e-3


def noisy_sum(drawn):
    """A number that depends on every value of the painted maps."""
    return sum((z * r).sum() for z, r in zip(drawn, maps(3, seed=5), strict=True))


@pytest.mark.parametrize("context_box", [True, False])
def test_a_lone_object_without_context_is_painted_without_looking_at_the_student(context_box):
    made, features = painter(context_box=context_box), maps(3)
    drawn = made(features, objects([BOXES, BOXES[:1], []], context_box=context_box))
    for gradient in jt.grad(noisy_sum(drawn), features):
        reached = [image.any() for image in gradient.numpy()]
        assert reached == [True, context_box, False]  # an image without objects has a single row, always


def test_none_one_and_three_hundred_objects_in_one_batch():
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 50, (300, 2))
    many = np.concatenate([corner, corner + rng.uniform(1, 40, (300, 2))], 1).astype(np.float32)
    labels = [[], [3], np.arange(300) % NUM_CLASSES]
    made, features = painter(), maps(3)
    drawn = made(features, objects([[], BOXES[:1], many], [np.array(each, int) for each in labels]))
    gradients = jt.grad(noisy_sum(drawn), [*features, *made.parameters()])
    assert all(np.isfinite(values.numpy()).all() for values in [*drawn, *gradients])
    alone = painted(made, objects([[], BOXES[:1]], [labels[0], np.array(labels[1])]), maps(2))
    for z, few in zip(drawn, alone, strict=True):  # how many slots a batch has makes no difference
        np.testing.assert_allclose(z.numpy()[:2], few, atol=1e-5)


def test_cells_are_those_of_the_released_masks():
    size, levels = (256, 320), [(32, 40), (16, 20), (8, 10), (4, 5), (2, 3)]
    boxes = np.float32([(10, 20, 100, 150), (5, 5, 11, 12), (50, 60, 320, 256), (40, 8, 40, 90)])
    instances = instances_of(make_targets([boxes], [size]), 80, size, context_box=True)
    counts = np.stack([instances.cells(*level).numpy()[0].sum((1, 2)) for level in levels], 1)
    assert counts[:4].tolist() == [[176, 48, 12, 2, 0], [1, 0, 0, 0, 0], [792, 192, 48, 12, 2], [0] * 5]
    assert counts[-1].tolist() == [1280, 320, 80, 20, 6] and not counts[4:-1].any()


def rotated_targets(boxes):
    upright = make_targets([[], []], [SIZE] * 2)
    slots, mask = np.zeros((2, 8, 5), np.float32), np.zeros((2, 8), np.float32)
    slots[0, : len(boxes)], mask[0, : len(boxes)] = boxes, 1
    return Targets(
        jt.array(slots), upright.labels, jt.array(mask), jt.array(slots), upright.mask, upright.pad_shapes
    )


def test_rotated_objects_are_described_by_five_numbers_and_painted_along_their_sides():
    boxes = np.float32([(40, 30, 50, 12, 0.5), (60, 20, 16, 40, -1.2), (0, 0, 20, 20, 2.0)])
    instances = instances_of(rotated_targets(boxes), NUM_CLASSES, SIZE, context_box=True)
    found = (instances.descriptors.numpy()[0, :, :5] + 1) / 2
    expected = boxes / [96, 64, 96, 96, np.pi] % 1
    np.testing.assert_allclose(found[:3], expected, atol=1e-6)
    cells = instances.cells(8, 12).numpy()
    for index, (cx, cy, w, h, angle) in enumerate(boxes.astype(float)):
        for y in range(8):
            for x in range(12):
                dx, dy = 8 * x - cx, 8 * y - cy
                along = dx * np.cos(angle) + dy * np.sin(angle)
                across = dy * np.cos(angle) - dx * np.sin(angle)
                assert cells[0, index, y, x] == (abs(along) <= w / 2 and abs(across) <= h / 2)
    assert cells[0, -1].all() and cells[1].sum() == 1 and cells[1, -1, 0, 0]
    drawn = painter(num_sides=5)(maps(), instances)
    assert all(np.isfinite(z.numpy()).all() for z in drawn)


def test_masks_describe_and_bound_their_objects():
    bitmaps = np.zeros((2, 8, *SIZE), np.uint8)
    bitmaps[0, 0, 3:30, 5:40] = 1  # the whole box
    bitmaps[0, 1, 10:35, 20:90] = 1  # its upper half
    targets = make_targets([BOXES, BOXES[:1]], [SIZE] * 2)
    with pytest.raises(ValueError, match="with_masks=True"):
        instances_of(targets, NUM_CLASSES, SIZE, context_box=True, with_masks=True)
    targets = dataclasses.replace(targets, masks=BitmapTargets(jt.array(bitmaps)))
    instances = instances_of(targets, NUM_CLASSES, SIZE, context_box=True, with_masks=True)
    crops = (instances.descriptors.numpy()[0, :, -49:] + 1).reshape(-1, 7, 7) / 2
    assert crops[0].all() and crops[1, :3].all() and not crops[1, 4:].any() and not crops[2].any()
    assert crops[-1].all()  # the context
    cells = instances.cells(8, 12).numpy()
    np.testing.assert_array_equal(cells[:, :-1], bitmaps[:, :, ::8, ::8])
    assert cells[:, -1].all()


def test_equal_maxima_share_their_gradient():
    rows = jt.array(np.float32([[[1, 5], [3, 5], [2, 0]]]))
    np.testing.assert_array_equal(largest(rows).numpy(), [[3, 5]])
    gradient = jt.grad(largest(rows).sum(), rows).numpy()
    np.testing.assert_array_equal(gradient, [[[0, 0.5], [1, 0.5], [0, 0]]])


def test_what_cannot_be_is_said():
    with pytest.raises(ConfigError, match=r"unknown interaction 'student_guide'.*student_guided"):
        LabelGuidedTeacher(interaction="student_guide")
    with pytest.raises(ConfigError, match="num_heads=7 does not divide the 16 channels"):
        LabelGuidedTeacher(num_heads=7).bind(tiny.build_detector(tiny.tiny_config()))
    with pytest.raises(ValueError, match=r"call bind\(student\) first"):
        LabelGuidedTeacher().losses(None, None)


def released_state(made):
    """The painter's weights under the names and in the shapes of the released code."""
    renamed = {}
    for name, var in made.named_parameters():
        for pattern, ours in reversed(lgd.PAINTER_RENAMES):
            if name.startswith(ours):
                released = re.sub(r"[\^\\]", "", pattern)
                name = released + name.removeprefix(ours)
                break
        values = var.numpy()
        is_pointwise = "label_encoder_." in name and ".fc" not in name and values.ndim == 2
        renamed[f"teacher.{name}"] = values[:, :, None] if is_pointwise else values
    return renamed


def test_a_teacher_starts_from_a_released_file(tmp_path):
    made, path = painter(), tmp_path / "lgd.safetensors"
    beside = {"student.head.cls_score.bias": np.zeros(3, np.float32)}
    write_safetensors(path, released_state(made) | beside, {})
    assert "teacher.label_encoder_.stn_desc.conv1.weight" in released_state(made)
    other = painter(seed=4, context_box=False)
    load_painter(other, str(path))
    for name, var in other.named_parameters():
        np.testing.assert_array_equal(var.numpy(), dict(made.named_parameters())[name].numpy(), err_msg=name)
    with pytest.raises(CheckpointError, match=r"encoder\.stn_desc\..*classes, masks or channels are others"):
        load_painter(painter(num_sides=5), str(path))
    write_safetensors(path, beside, {})
    with pytest.raises(CheckpointError, match="has no label-guided teacher's"):
        load_painter(painter(), str(path))


PHASES = dict(start=2, stop=5)
FREEZE, STEPS = 1, 6


def guided(student, schedule=None, seed=1, others=(), **settings):
    section = {
        "teacher": {"type": "LabelGuidedTeacher", "num_heads": 4, **settings},
        "terms": [dict(type="InstructiveMSE", schedule=schedule), *others],
    }
    distiller = build_distiller(section, student)
    for module in distiller.modules().values():
        refill(module, seed)
    return distiller


@pytest.mark.parametrize("detach", [False, True])
def test_whom_the_losses_of_the_painted_maps_teach(weights, batches, detach):
    student = tiny.new_student(weights)
    distiller = guided(student, detach_appearance=detach)
    modules = distiller.modules()
    assert set(modules) == {"loss_distill.adapter", "teacher.painter"}
    assert not any("painter" in name or "adapter" in name for name in student.state_dict())
    losses = distiller(tiny.step_of_batch(student, batches[0]))
    assert set(losses) == {"loss_cls.tea", "loss_bbox.tea", "loss_dfl.tea", "loss_distill"}
    watched = {
        "painter": modules["teacher.painter"].encoder.stn_desc.fc3.weight,
        "adapter": modules["loss_distill.adapter"][0].weight,
        "head": student.bbox_head.gfl_cls.weight,
        "neck": student.neck.fpn_convs[0].conv.weight,
    }
    task = losses["loss_cls.tea"] + losses["loss_bbox.tea"] + losses["loss_dfl.tea"]
    reached = reached_by(task, watched)
    assert reached == {"painter", "head"} | (set() if detach else {"neck"})
    assert reached_by(losses["loss_distill"], watched) == {"adapter", "neck"}


def reached_by(loss, watched):
    gradients = jt.grad(loss, list(watched.values()))
    return {name for name, gradient in zip(watched, gradients, strict=True) if gradient.numpy().any()}


def test_a_frozen_teacher_and_the_labels_teach_together(weights, batches, teacher_file):
    student = tiny.new_student(weights)
    section = {
        "teacher": {"type": "LabelGuidedTeacher", "num_heads": 4},
        "teachers": {"large": {"config": tiny.tiny_config(), "checkpoint": teacher_file}},
        "terms": [dict(type="InstructiveMSE"), dict(tiny.TERMS[0], teacher="large")],
    }
    distiller = build_distiller(section, student)
    losses = distiller(tiny.step_of_batch(student, batches[1]))
    assert {"loss_cls.tea", "loss_distill", "loss_ld"} <= set(losses)
    assert all(np.isfinite(value.numpy()).all() for value in losses.values())
    assert set(distiller.modules()) == {"loss_distill.adapter", "teacher.painter"}


def test_a_two_stage_student_draws_anew_for_painted_maps():
    student = build_detector(two_stage.section())
    distiller = guided(student, context_box=False, detach_appearance=True)
    images = jt.array(np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32))
    targets = Targets.from_batch(batch_of(two_stage.ARRAYS, 2), 7, 3)
    features = student.features(images)
    step = Step(images, targets, student, features, student.predict(features, targets))
    losses = distiller(step)
    task = {f"loss_{name}.tea" for name in ("rpn_cls", "rpn_bbox", "cls", "bbox")}
    assert set(losses) == task | {"loss_distill"}
    assert all(np.isfinite(value.numpy()).all() for value in losses.values())
    traces = step.trace, distiller.teacher(step)
    own, painted = (trace.stages["rpn"].assigned.label_weights.numpy() for trace in traces)
    assert (own.sum(1) == painted.sum(1)).all() and (own != painted).any()
    painter_layer = distiller.modules()["teacher.painter"].mapper.object_proj.weight
    watched = {"painter": painter_layer, "neck": student.neck.fpn_convs[0].conv.weight}
    assert reached_by(sum(losses[name] for name in task), watched) == {"painter"}


class Keeper(Hook):
    """Saves the training state after every step."""

    def __init__(self, folder):
        self.folder = folder

    def after_step(self, loop):
        states.save_state(states.collect_state(loop, Config({}), []), [self.folder / f"{loop.iteration}.pkl"])


def phased_loop(weights, batches, *, seed, hooks=()):
    """LGD in small: the backbone rests, then the student learns without the term, with it, without it."""
    student = tiny.new_student(weights)
    distiller = guided(student, PHASES, seed)
    rules = {
        "student": dict(match="*", but_not="distill.teacher.*"),
        "teacher": dict(match="distill.teacher.*"),
    }
    shares = divided(trainable_parameters(student, distiller), rules)
    own = dict(momentum=0.9, weight_decay=1e-4, grad_clip=dict(max_value=1.0))
    frozen = [dict(match="backbone.*", start=FREEZE)]
    members = {
        "student": SGD(shares["student"], 0.01, parameter_groups=frozen, **own),
        "teacher": SGD(shares["teacher"], 0.02, **own),
    }
    schedule = {name: StepLR([4], warmup="linear", warmup_iters=3, warmup_ratio=0.1) for name in members}
    settings = dict(distiller=distiller, max_iter=STEPS, hooks=hooks, seed=2)
    return TrainingLoop(student, tiny.Batches(batches), Optimizers(members), schedule, **settings)


def everything(loop):
    states_of = states.collect_state(loop, Config({}), [])
    return {key: states_of[key] for key in ("model", "distill", "optimizer")}


def flat(value, path=""):
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}/{key}").items()}
    return {path: value}


def test_a_run_resumed_in_any_phase_goes_on_digit_for_digit(weights, batches, tmp_path):
    whole = phased_loop(weights, batches, seed=1, hooks=[Keeper(tmp_path)])
    before = flat(everything(whole))
    whole.run()
    expected = flat(everything(whole))
    changed = {key for key in before if not np.array_equal(before[key], expected[key])}
    assert {"/model/backbone.layer4.0.conv1.weight", "/distill/loss_distill.adapter.0.weight"} <= changed
    frozen = flat(read_training_state(tmp_path / f"{FREEZE}.pkl"))
    moved = [key for key in before if not np.array_equal(before[key], frozen.get(key))]
    assert not any("backbone." in key for key in moved)
    assert any("bbox_head." in key for key in moved) and any("teacher.painter." in key for key in moved)
    for iteration in range(1, STEPS):
        loop = phased_loop(weights, batches, seed=9)
        states.resume(loop, tmp_path / f"{iteration}.pkl")
        loop.run()
        found = flat(everything(loop))
        assert found.keys() == expected.keys()
        differing = [key for key in found if not np.array_equal(found[key], expected[key])]
        assert differing == [], f"resumed after step {iteration}"


def test_the_student_gets_no_signal_and_the_adapter_learns_while_the_term_rests(weights, batches):
    student = tiny.new_student(weights)
    distiller = guided(student, PHASES)
    watched = {
        "adapter": distiller.modules()["loss_distill.adapter"][0].weight,
        "painter": distiller.modules()["teacher.painter"].mapper.object_proj.weight,
        "neck": student.neck.fpn_convs[0].conv.weight,
    }
    step = partial(dataclasses.replace, tiny.step_of_batch(student, batches[0]))
    for iteration, reached in ((0, {"adapter"}), (2, {"adapter", "neck"}), (5, {"adapter"})):
        loss = distiller(step(iteration=iteration))["loss_distill"]
        assert loss.item() > 0 and reached_by(loss, watched) == reached
        acts = "neck" in reached
        assert ("loss_distill" in distiller.describe_shares({"loss_cls": 1.0, "loss_distill": 0.5})) == acts
