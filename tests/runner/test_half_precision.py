"""Training in half precision: scope, log, checkpoints, and distilled steps of whole models beside float32."""

import json

import numpy as np
import pytest

from jld.config import Config
from jld.ops.precision import convolution_precision
from jld.optim import SGD, LossScale, Optimizers
from jld.runner import parts
from jld.runner import state as states
from jld.runner.hooks import EvaluationHook, LogHook
from jld.runner.logs import RunLogger
from jld.runner.loop import TrainingLoop
from jld.toolchain import jittor as jt
from tests.distill.test_ld_golden import make_distiller, student_and_teacher, term_sections
from tests.golden_cases import case, param_cases
from tests.models.golden_models import batch_of, generated
from tests.runner.toys import ToyDetector, ToyDistiller, ToyLoader
from tests.stages import GivenTeacher

# Of the sum of a loss, in units of the type's rounding error; measured: up to 0.6 units.
UNITS = 2
EPS = {"bfloat16": 2.0**-8, "float16": 2.0**-11}


def make(precision, max_epoch=1, **settings):
    detector = ToyDetector()
    optimizer = SGD(dict(detector.named_parameters()), 0.05, momentum=0.9)
    optimizer = Optimizers(optimizer, LossScale(interval=3) if precision == "float16" else None)
    return TrainingLoop(
        detector, ToyLoader(4), optimizer, precision=precision, max_epoch=max_epoch, **settings
    )


def test_student_and_teacher_are_in_the_scope_and_evaluation_is_not():
    seen = []

    class Watching(ToyDetector):
        def features(self, images):
            seen.append(convolution_precision())
            return super().features(images)

    class Teaching(ToyDistiller):
        def __call__(self, *given):
            seen.append(f"teacher {convolution_precision()}")
            return super().__call__(*given)

    loop = make("bfloat16", distiller=Teaching())
    loop.detector = Watching()
    evaluate = lambda: seen.append(f"evaluation {convolution_precision()}") or {"AP": 0.5}  # noqa: E731
    loop.hooks = [EvaluationHook(evaluate, RunLogger([]), 1)]
    loop.run()
    assert seen == [*["bfloat16", "teacher bfloat16"] * 4, "evaluation float32"]


def test_the_scale_is_logged_beside_the_losses(tmp_path):
    logger = RunLogger(["TextLogger"])
    logger.open(tmp_path)
    loop = make("float16")
    loop.hooks = [LogHook(logger, 2)]
    loop.run()
    logger.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["optimizer/loss_scale"] for line in lines] == [65536.0, 131072.0]
    assert [line["optimizer/skipped_steps"] for line in lines] == [0.0, 0.0]


def test_a_resumed_run_has_the_scale_of_the_one_that_went_on(tmp_path):
    whole, first, second = make("float16", 2), make("float16", 1), make("float16", 2)
    whole.run()
    first.run()
    states.save_state(states.collect_state(first, Config({}), []), [tmp_path / "last.pkl"])
    states.resume(second, tmp_path / "last.pkl")
    second.run()
    np.testing.assert_array_equal(second.detector.weight.numpy(), whole.detector.weight.numpy())
    found, expected = second.optimizer.state_dict(), whole.optimizer.state_dict()
    assert (
        found["loss_scale"]
        == expected["loss_scale"]
        == {"scale": 262144.0, "good_steps": 2.0, "skipped": 0.0}
    )


def test_float16_alone_gets_a_scale():
    for precision, has_scale in (("float32", False), ("bfloat16", False), ("float16", True)):
        config = {"optimizer": {"type": "SGD", "lr": 0.1}, "auto_scale_lr": None, "precision": precision}
        optimizer, _ = parts.build_optimizer(config, {"p": jt.ones(2)})
        assert (optimizer.loss_scale is not None) == has_scale
    assert "saves no time" in parts.precision_text("float16")


class OneBatch:
    """A golden case's batch, once per epoch."""

    def __init__(self, meta, arrays):
        images = generated(meta, "img").numpy()
        names = {"images": images, "img_files": [f"{i}.png" for i in range(len(images))]}
        self.batch = batch_of(arrays, len(images)) | names

    def __len__(self):
        return 1

    def epoch(self, epoch, start=0):
        yield self.batch


def distilled_loop(meta, arrays, precision, steps):
    """Training of a golden case's student by its teacher, on its batch alone."""
    student, teacher = student_and_teacher(meta)
    teacher.eval()
    loader = OneBatch(meta, arrays)

    class Teaching(GivenTeacher):
        def __call__(self, step):
            with jt.no_grad():
                return teacher(step.images)

    distiller = make_distiller(term_sections(meta["resolved"]), None, student.bbox_head)
    distiller.teachers = {"teacher": Teaching(None, student.bbox_head)}
    optimizer = SGD(dict(student.named_parameters()), 0.002, momentum=0.9, grad_clip=dict(max_norm=35))
    optimizer = Optimizers(optimizer, LossScale() if precision == "float16" else None)
    loop = TrainingLoop(student, loader, optimizer, distiller=distiller, precision=precision, max_iter=steps)
    return loop, student


def run(loop):
    """{loss: value} of every step."""
    loop.run()
    loop.history.fetch()
    return [record.values for record in loop.history.records]


def reached_parameters(optimizer):
    """Names of the parameters that a gradient has reached: all but scales of levels without an object."""
    reached = {slot.name for slot in optimizer.slots if slot.buffers["momentum"].numpy().any()}
    left_out = {slot.name for slot in optimizer.slots} - reached
    assert all(".scales." in name for name in left_out), left_out
    return reached


@pytest.mark.parametrize("name", param_cases("h_ld_full"))
def test_a_distilled_student_learns_in_half_precision_as_in_float32(name):
    meta, arrays = case(name)
    exact, _ = distilled_loop(meta, arrays, "float32", 1)
    (plain,) = run(exact)
    reached = reached_parameters(exact.optimizer)
    for precision, eps in EPS.items():
        loop, student = distilled_loop(meta, arrays, precision, 8)
        start = {name: var.numpy().copy() for name, var in student.named_parameters()}
        steps = run(loop)
        assert set(steps[0]) == set(plain)
        for loss, expected in plain.items():
            assert abs(steps[0][loss] - expected) < UNITS * eps * max(1, abs(expected)), (precision, loss)
        assert steps[0]["total_loss"] != plain["total_loss"]  # it was rounded
        assert steps[-1]["total_loss"] < 0.95 * steps[0]["total_loss"]
        assert reached <= reached_parameters(loop.optimizer)
        moved = {name: var.numpy() for name, var in student.named_parameters()}
        assert all(np.isfinite(moved[name]).all() and (moved[name] != start[name]).any() for name in reached)
        if precision == "float16":
            assert loop.optimizer.loss_scale.skipped.item() < 4
