"""A small pyramid with several priors per cell, two networks' traces on it, and a head without layers."""

import numpy as np

from jld.assign import MaxIoUAssigner
from jld.boxes.coders import DeltaBoxCoder
from jld.boxes.priors import AnchorGenerator
from jld.distill import StepContext
from jld.distill.distiller import named_regions
from jld.distill.instances import Prototypes
from jld.models.boxes import DeltaBoxes
from jld.models.heads.dense_head import DenseHead
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.stages import interface_of, stage_of, step_of, trace_of

STRIDES = (8, 16)
GENERATOR = AnchorGenerator(STRIDES, octave_base_scale=4, ratios=(0.5, 1.0))
PRIORS = GENERATOR.priors([(8, 9), (4, 5)])
PADS = [(64, 72), (48, 72)]
P, C, B, OWN, GIVEN = len(PRIORS), 3, 5, 4, 6
# One object for each level.
OWN_LEVEL = {
    "fine_grained_own_level": {"type": "FineGrainedOwnLevel", "base_px": 20},
    "inside_own_level": {"type": "InsideOwnLevel", "base_px": 20},
}
TWO_BOXES = np.float32([(4, 5, 40, 52), (28, 18, 62, 52)])


def predictions(seed):
    rng = np.random.default_rng(seed)
    shapes = (("cls_logits", (C,), 2.0), ("box_deltas", (4,), 0.2), ("box_logits", (4, B), 1.0))
    return {
        key: jt.array(rng.normal(0, spread, (2, P, *shape)).astype(np.float32))
        for key, shape, spread in shapes
    }


def maps(seed, channels):
    rng = np.random.default_rng(seed)
    return [jt.array(rng.normal(size=(2, channels, *size)).astype(np.float32)) for size in PRIORS.level_sizes]


class Head(DenseHead):
    """A dense head without layers: what terms ask of a RetinaNet head."""

    def __init__(self, boxes=None, num_classes=C):
        self.priors, self.num_classes = GENERATOR, num_classes
        self.boxes = boxes or DeltaBoxes(DeltaBoxCoder())
        self.assigner = MaxIoUAssigner(0.5, 0.4)
        self.make_towers(1, 1, 0, None)


def interfaces(own=OWN, given=GIVEN, heads=None):
    heads = heads or (Head(), Head())
    return [interface_of(head, width) for head, width in zip(heads, (own, given), strict=True)]


def bound(term, own=OWN, given=GIVEN, heads=None):
    """The term with its adapters, at initial values that are large enough to see."""
    sides = interfaces(own, given, heads)
    assert term.check(*sides) == []
    term.bind(*sides)
    rng = np.random.default_rng(9)
    for parameter in parameters(term):
        parameter.assign(jt.array(rng.normal(0, 0.3, parameter.shape).astype(np.float32)))
    return term


def with_prototypes(term):
    """The term with two prototypes of every class and level, except for one of the first class and level."""
    rng = np.random.default_rng(8)
    mask = np.ones((len(STRIDES), C, 2), np.float32)
    mask[0, 0, 1] = 0
    spaces = (rng.normal(size=(*mask.shape, width)).astype(np.float32) for width in (OWN, GIVEN))
    term.use(Prototypes(*spaces, mask))
    return term


def parameters(term):
    return [var for module in term.modules().values() for var in module.parameters()]


def context(term, *, own=OWN, given=GIVEN, boxes=TWO_BOXES, regions=None, teacher_levels=2, heads=None):
    """A step of two images, the second without objects; the teacher may lack coarse levels."""
    targets = make_targets([boxes, []], PADS, labels=[np.arange(len(boxes)) % C, []])
    heads = heads or (Head(), Head())
    student = trace_of(stage_of(heads[0], predictions(1), PRIORS, targets), maps(3, own))
    few = AnchorGenerator(STRIDES[:teacher_levels], octave_base_scale=4, ratios=(0.5, 1.0))
    places = few.priors(PRIORS.level_sizes[:teacher_levels])
    teacher = trace_of(stage_of(heads[1], predictions(2), places), maps(4, given)[:teacher_levels])
    found = named_regions(OWN_LEVEL | (regions or {}), [term])
    return StepContext(step_of(student, targets), teacher, found)


def numpy_levels(values):
    """[N, P] as one [N, H, W, priors per cell] array per level."""
    return [
        values[:, section].reshape(2, *size, PRIORS.num_per_cell)
        for section, size in zip(PRIORS.level_slices, PRIORS.level_sizes, strict=True)
    ]
