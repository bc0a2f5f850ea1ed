"""Teachers that learn: terms leave their gradient alone, their own losses reach them; classes in order."""

import dataclasses
import math

import numpy as np
import pytest

from jld.distill import Distiller, Lesson, StepContext
from jld.distill.distiller import named_regions
from jld.distill.schedule import TermSchedule
from jld.distill.terms import (
    BCKD,
    CWD,
    FBKD,
    FGD,
    FGFI,
    GID,
    MGD,
    PFI,
    PKD,
    ClassificationKD,
    CrossKD,
    DeFeat,
    FeatureImitation,
    GlobalKnowledge,
    InstanceRelations,
    LocalizationKD,
    RankMimicking,
    RobustFeatures,
    RobustLabels,
)
from jld.models import build_detector
from jld.models.boxes import DistanceBoxes, DistributionBoxes
from jld.models.trace import Trace
from jld.ops.conv2d import Conv2d
from jld.registry import REGIONS
from jld.toolchain import jittor as jt
from tests.distill import imitation_scene as scene
from tests.distill import test_distiller as tiny

TERMS = {
    "LocalizationKD": LocalizationKD,
    "LocalizationKD on the vlr": lambda: LocalizationKD("vlr", weighting="iou", sides="joint"),
    "ClassificationKD": ClassificationKD,
    "ClassificationKD per class": lambda: ClassificationKD(activation="sigmoid"),
    "FeatureImitation": lambda: FeatureImitation("gi", adapter="1x1"),
    "FGFI": FGFI,
    "DeFeat": DeFeat,
    "PFI": lambda: PFI(adapter="3x3"),
    "RankMimicking": RankMimicking,
    "FBKD": lambda: FBKD(inner_channels=(2, 3), pooling=(2, 8)),
    "GID": lambda: GID(adapter="3x3", count=4, crop_size=3, min_side_px=4),
    "PKD": lambda: PKD(adapter="1x1"),
    "CWD": lambda: CWD(reads="features", adapter="1x1"),
    "CWD on logits": CWD,
    "BCKD": BCKD,
    "FGD": lambda: FGD(adapter="1x1"),
    "MGD": lambda: MGD(adapter="1x1"),
    "RobustFeatures": lambda: scene.with_prototypes(RobustFeatures(max_instances=20)),
    "RobustLabels": lambda: scene.with_prototypes(RobustLabels()),
    "GlobalKnowledge": lambda: scene.with_prototypes(GlobalKnowledge()),
    "InstanceRelations": InstanceRelations,
    "CrossKD": lambda: CrossKD(depth=1, adapter="1x1"),
}
DISTANCES = DistributionBoxes(DistanceBoxes("strides"), scene.B)


class Resumable(scene.Head):
    """A head with one layer in each tower and last layers that repeat the towers' channels."""

    def __init__(self, channels):
        super().__init__(DISTANCES)
        self.make_towers(channels, channels, 1, None)

    def level_maps(self, cls_maps, reg_maps):
        sides = zip(self.prediction_shapes().items(), (cls_maps, reg_maps), strict=True)
        repeats = {
            key: (jt.array(np.arange(self.priors.num_per_cell * math.prod(shape)) % self.feat_channels), maps)
            for (key, shape), maps in sides
        }
        return {key: [x[:, repeat] for x in maps] for key, (repeat, maps) in repeats.items()}


def with_hidden(trace):
    """The trace, as if its towers' first layers changed nothing."""
    stage = dataclasses.replace(trace.stage(), hidden={1: [(x, x) for x in trace.features]})
    return dataclasses.replace(trace, stages={"dense": stage})


def scaled(trace, factor):
    """The trace with every value multiplied by a Var, which the whole trace then depends on."""
    stage = trace.stage()
    predictions = {key: value * factor for key, value in stage.predictions.items()}
    hidden = {
        depth: [tuple(x * factor for x in pair) for pair in maps] for depth, maps in stage.hidden.items()
    }
    stage = dataclasses.replace(stage, predictions=predictions, hidden=hidden, _known={})
    return Trace([x * factor for x in trace.features], trace.strides, {"dense": stage})


@pytest.mark.parametrize("name", TERMS)
def test_a_term_neither_teaches_the_teacher_nor_cuts_its_own_losses(name):
    heads = [Resumable(width) for width in (scene.OWN, scene.GIVEN)]
    term = scene.bound(TERMS[name](), heads=heads)
    given = scene.context(term, heads=heads)
    factor = jt.array(np.float32([1.5]))
    trace = scaled(with_hidden(given.teacher_trace), factor)
    step = dataclasses.replace(given.step, trace=with_hidden(given.step.trace))
    loss = term(StepContext(step, trace, named_regions(scene.OWN_LEVEL, [term])))
    values = [*trace.features, *trace.stage().predictions.values()]
    own = sum((value * value).sum() for value in values)
    parameters = scene.parameters(term)
    of_term = [g.numpy() for g in jt.grad(loss, [factor, *parameters])]
    assert loss.item() > 0 and not of_term[0].any() and all(g.any() for g in of_term[1:])
    expected = 2 * sum(float((value.numpy().astype(np.float64) ** 2).sum()) for value in values) / 1.5
    np.testing.assert_allclose(jt.grad(own, factor).numpy(), [expected], rtol=1e-4)


class PaintingTeacher:
    """Paints maps from the student's and reads them with the student's own head, as label guidance does."""

    def __init__(self, channels):
        self.paint = Conv2d(channels, channels, 1)

    def bind(self, student):
        self.student, self.interface = student, student.interface

    def __call__(self, step):
        return step.student.predict([self.paint(x.detach()) for x in step.features], step.targets)

    def losses(self, trace, targets):
        return self.student.losses(trace, targets)

    def modules(self):
        return {"paint": self.paint}


class AlwaysAdapting(FeatureImitation):
    """Imitation whose adapter learns before the student does."""

    off = "detach_student"


weights, batches = tiny.weights, tiny.batches


def test_a_teacher_made_of_the_students_head_learns_while_its_term_is_off(weights, batches):
    tiny.register_parts()
    student = tiny.new_student(weights)
    term = AlwaysAdapting("all", weight=1.0, adapter="1x1", name="loss_paint")
    teacher = PaintingTeacher(16)
    distiller = Distiller(
        {"teacher": teacher}, [Lesson(term, "teacher", TermSchedule(start=5))], {"all": REGIONS.get("all")()}
    )
    distiller.bind(student)
    assert set(distiller.modules()) == {"loss_paint.adapter", "teacher.paint"}
    painted, adapter = teacher.paint.weight, distiller.modules()["loss_paint.adapter"].weight
    head, neck = student.bbox_head.gfl_cls.weight, student.neck.fpn_convs[0].conv.weight
    for iteration, reaches_student in ((0, False), (5, True)):
        step = dataclasses.replace(tiny.step_of_batch(student, batches[0]), iteration=iteration)
        losses = distiller(step)
        assert set(losses) == {"loss_cls.tea", "loss_bbox.tea", "loss_dfl.tea", "loss_paint"}
        to_adapter, to_paint, to_neck = jt.grad(losses["loss_paint"], [adapter, painted, neck])
        assert to_adapter.numpy().any() and not to_paint.numpy().any()
        assert to_neck.numpy().any() == reaches_student
        own = losses["loss_cls.tea"] + losses["loss_bbox.tea"]
        to_paint, to_head, to_neck = jt.grad(own, [painted, head, neck])
        assert to_paint.numpy().any() and to_head.numpy().any() and not to_neck.numpy().any()


def test_a_frozen_teacher_puts_its_classes_in_the_students_order(weights, batches, teacher_file):
    student = tiny.new_student(weights)
    student.classes = tuple("abcde")
    same, permuted = (tiny.FrozenTeacher(tiny.tiny_config(), teacher_file) for _ in range(2))
    same.detector.classes, permuted.detector.classes = tuple("abcde"), tuple("cadbe")
    step = tiny.step_of_batch(student, batches[0])
    logits = []
    for teacher in (same, permuted):
        teacher.bind(student)
        logits.append(teacher(step).stage().predictions["cls_logits"].numpy())
    # Class a is the teacher's second one, b its fourth, c its first, d its third.
    np.testing.assert_array_equal(logits[1], logits[0][:, :, [1, 3, 0, 2, 4]])


teacher_file = tiny.teacher_file


def test_a_detector_is_built_with_its_normalisation():
    assert build_detector(tiny.tiny_config()).interface.normalisation == tiny.STATISTICS
