"""A small pyramid with several priors per cell, two networks' traces on it, and stand-ins for detectors."""

from types import SimpleNamespace

import numpy as np

from jld.assign import MaxIoUAssigner
from jld.boxes.coders import DeltaBoxCoder
from jld.boxes.priors import AnchorGenerator
from jld.distill import StepContext
from jld.distill.distiller import named_regions
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets

STRIDES = (8, 16)
GENERATOR = AnchorGenerator(STRIDES, octave_base_scale=4, ratios=(0.5, 1.0))
PRIORS = GENERATOR.priors([(8, 9), (4, 5)])
PADS = [(64, 72), (48, 72)]
P, C, OWN, GIVEN = len(PRIORS), 3, 4, 6
# One object for each level.
OWN_LEVEL = {
    "fine_grained_own_level": {"type": "FineGrainedOwnLevel", "base_px": 20},
    "inside_own_level": {"type": "InsideOwnLevel", "base_px": 20},
}
TWO_BOXES = np.float32([(4, 5, 40, 52), (28, 18, 62, 52)])


def trace(seed, channels):
    rng = np.random.default_rng(seed)
    maps = [jt.array(rng.normal(size=(2, channels, *size)).astype(np.float32)) for size in PRIORS.level_sizes]
    predictions = {
        key: jt.array(rng.normal(0, spread, (2, P, width)).astype(np.float32))
        for key, width, spread in (("cls_logits", C, 2.0), ("box_deltas", 4, 0.2))
    }
    return SimpleNamespace(features=maps, predictions=predictions, priors=PRIORS)


class Head:
    """What terms ask of a RetinaNet head."""

    priors = GENERATOR
    num_classes, num_sides = C, 4
    box_coder = DeltaBoxCoder()

    def prediction_shapes(self):
        return {"cls_logits": (C,), "box_deltas": (4,)}

    def dense_detections(self, trace):
        boxes = self.box_coder.decode(PRIORS.boxes, trace.predictions["box_deltas"])
        return jt.sigmoid(trace.predictions["cls_logits"]), boxes


def detectors(own=OWN, given=GIVEN):
    return [SimpleNamespace(feature_channels=width, bbox_head=Head()) for width in (own, given)]


def bound(term, own=OWN, given=GIVEN):
    """The term with its adapters, at initial values that are large enough to see."""
    assert term.bind(*detectors(own, given)) == []
    rng = np.random.default_rng(9)
    for parameter in term.parameters():
        parameter.assign(jt.array(rng.normal(0, 0.3, parameter.shape).astype(np.float32)))
    return term


def context(term, *, own=OWN, given=GIVEN, boxes=TWO_BOXES, regions=None, teacher_levels=2):
    """A step of two images, the second without objects; the teacher may lack coarse levels."""
    targets = make_targets([boxes, []], PADS, labels=[np.arange(len(boxes)) % C, []])
    valid = PRIORS.valid_mask(targets.pad_shapes)
    assignment = MaxIoUAssigner(0.5, 0.4)(PRIORS, targets, valid, C)
    found = named_regions(OWN_LEVEL | (regions or {}), [term])
    teacher = trace(2, given)
    teacher.features = teacher.features[:teacher_levels]
    teacher.priors = AnchorGenerator(STRIDES[:teacher_levels]).priors(PRIORS.level_sizes[:teacher_levels])
    return StepContext(trace(1, own), teacher, assignment, targets, found)


def numpy_levels(values):
    """[N, P] as one [N, H, W, priors per cell] array per level."""
    return [
        values[:, section].reshape(2, *size, PRIORS.num_per_cell)
        for section, size in zip(PRIORS.level_slices, PRIORS.level_sizes, strict=True)
    ]
