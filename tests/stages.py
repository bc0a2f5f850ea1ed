"""Stages made of given predictions, and teachers whose traces are given, for tests of single parts."""

from __future__ import annotations

from types import SimpleNamespace

from jld.distill import Step
from jld.models import Interface
from jld.models.trace import Stage, Trace


def stage_of(head, predictions, places, targets=None) -> Stage:
    """The stage of `head` with these predictions; with targets it knows who is positive."""
    return Stage(predictions, places, head, None if targets is None else head.assign(places, targets))


def trace_of(stage, features=()) -> Trace:
    """The trace of a single-stage detector that left this stage behind."""
    return Trace(tuple(features), stage.places.level_strides, {"dense": stage})


def step_of(trace, targets, student=None, images=None, iteration=0) -> Step:
    """The step in which the student left this trace behind."""
    return Step(images, targets, student, trace.features, trace, iteration)


def interface_of(head, channels=8, classes=()) -> Interface:
    """The interface of a single-stage detector with this head."""
    strides = tuple(head.priors.strides)
    return Interface(tuple(classes), strides, channels, None, {"dense": head.interface})


def bound_to(distiller, head, channels=8):
    """The distiller, fitted to a student that has this head."""
    distiller.bind(SimpleNamespace(interface=interface_of(head, channels)))
    return distiller


class GivenTeacher:
    """A teacher with the given trace, made by a head like `head`."""

    def __init__(self, trace, head, channels=8):
        self.trace, self.interface = trace, interface_of(head, channels)

    def bind(self, student):
        pass

    def __call__(self, step):
        return self.trace

    def keep_hidden(self, stage, depth):
        pass

    def losses(self, trace, targets):
        return {}

    def modules(self):
        return {}
