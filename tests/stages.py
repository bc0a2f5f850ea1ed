"""Stages made of given predictions, as if a head had predicted them."""

from __future__ import annotations

from jld.models.trace import Stage, Trace


def stage_of(head, predictions, places, targets=None) -> Stage:
    """The stage of `head` with these predictions; with targets it knows who is positive."""
    return Stage(predictions, places, head, None if targets is None else head.assign(places, targets))


def trace_of(stage, features=()) -> Trace:
    """The trace of a single-stage detector that left this stage behind."""
    return Trace(tuple(features), stage.places.level_strides, {"dense": stage})
