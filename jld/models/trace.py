"""What one forward pass of a detector left behind; losses, detection and distillation read nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jld.assign.assignment import Assignment
from jld.boxes.places import Places
from jld.models.boxes import BoxRepresentation
from jld.toolchain import jittor as jt

# Names of stages: of a dense head; of region proposals, of the RoIs and of their masks.
DENSE, RPN, ROI, MASK = "dense", "rpn", "roi", "mask"

# Maps of the classification tower and of the box tower on every level, [N, D, H_l, W_l] each, before a ReLU.
Hidden = list[tuple[jt.Var, jt.Var]]


class Head(Protocol):
    """What a stage asks of the head that made it, see `DenseHead`."""

    @property
    def boxes(self) -> BoxRepresentation: ...

    @property
    def class_keys(self) -> Sequence[str]: ...

    def probabilities(self, predictions: Mapping[str, jt.Var]) -> jt.Var: ...

    def confidence(self, predictions: Mapping[str, jt.Var]) -> jt.Var: ...

    def decode(self, predictions: Mapping[str, jt.Var], places: Places) -> jt.Var: ...

    def resume(self, hidden: Hidden, after: int) -> dict[str, jt.Var]: ...


@dataclass(frozen=True)
class Stage:
    """The predictions of one head: of a dense one, of a proposal network, of RoIs.

    Attributes:
        predictions: the head's documented dict, a row per place: {key: [N, P, ...]}.
        places: where the P rows lie.
        head: what knows how to read the predictions (`probabilities`, `boxes`, `resume`).
        assignment: who is positive for which object; None where no targets were given.
        hidden: {k: maps of the towers after k layers, before their ReLU}, where somebody asked for them.
        class_order: the head's classes in the order the predictions have them in; None: as the head has.
        reread: pyramid maps to what the head predicts of the same RoIs on them; None: the places are cells.
    """

    predictions: Mapping[str, jt.Var]
    places: Places
    head: Head
    assignment: Assignment | None = None
    hidden: Mapping[int, Hidden] = field(default_factory=dict)
    class_order: Sequence[int] | None = None
    reread: Callable[[Sequence[jt.Var]], dict[str, jt.Var]] | None = None
    _known: dict[str, jt.Var] = field(default_factory=dict, repr=False, compare=False)

    @property
    def assigned(self) -> Assignment:
        """The assignment, for what cannot do without it.

        Raises:
            ValueError: the stage was made without targets.
        """
        if self.assignment is None:
            raise ValueError("this stage has no assignment: predict with targets to compute losses of it.")
        return self.assignment

    def probabilities(self) -> jt.Var:
        """[N, P, C] the score of every class in [0, 1], as the head defines it; computed once."""
        return self._once("probabilities", lambda: self.head.probabilities(self.predictions))

    def confidence(self) -> jt.Var:
        """[N, P] the highest class score; computed once."""
        return self._once("confidence", lambda: self.head.confidence(self.predictions))

    def boxes(self) -> jt.Var:
        """[N, P, 4 or 5] the predicted boxes in px of the network input; computed once."""
        return self._once("boxes", lambda: self.head.decode(self.predictions, self.places))

    def resume(self, hidden: Hidden, after: int) -> dict[str, jt.Var]:
        """The predictions this stage's head makes of tower maps that have passed `after` layers."""
        return self._in_order(self.head.resume(hidden, after))

    def on(self, features: Sequence[jt.Var]) -> dict[str, jt.Var]:
        """The predictions this stage's head makes of its RoIs on other pyramid maps of the same strides.

        Raises:
            ValueError: the stage's places are no RoIs.
        """
        if self.reread is None:
            raise ValueError("only a stage of RoIs can be read on other maps.")
        return self._in_order(self.reread(features))

    def _in_order(self, found: dict[str, jt.Var]) -> dict[str, jt.Var]:
        return found if self.class_order is None else _permuted(found, self.head.class_keys, self.class_order)

    def reordered(self, class_order: Sequence[int]) -> Stage:
        """The same predictions with their classes in another order; entry i is where class i was before."""
        known = range(len(class_order)) if self.class_order is None else self.class_order
        return dataclasses.replace(
            self,
            predictions=_permuted(self.predictions, self.head.class_keys, class_order),
            class_order=[known[place] for place in class_order],
            _known={},
        )

    def detached(self) -> Stage:
        """The same values, from which no gradient flows back."""
        return dataclasses.replace(
            self,
            predictions={key: value.detach() for key, value in self.predictions.items()},
            hidden={
                depth: [(cls.detach(), reg.detach()) for cls, reg in maps]
                for depth, maps in self.hidden.items()
            },
            _known={},
        )

    def _once(self, name: str, compute: Callable[[], jt.Var]) -> jt.Var:
        if name not in self._known:
            self._known[name] = compute()
        return self._known[name]


def _permuted(
    predictions: Mapping[str, jt.Var], class_keys: Sequence[str], class_order: Sequence[int]
) -> dict[str, jt.Var]:
    changed = {}
    for key in class_keys:
        num_channels = predictions[key].shape[2]  # a channel of background stays behind the classes
        order = [*class_order, *range(len(class_order), num_channels)]
        changed[key] = predictions[key][:, :, jt.array(order)]
    return {**predictions, **changed}


@dataclass(frozen=True)
class Trace:
    """Features and predictions of one batch.

    Attributes:
        features: neck outputs [N, D, H_l, W_l], fine to coarse.
        strides: px per cell of every map.
        stages: {name: Stage}: `dense`, or `rpn`, `roi` and `mask`.
    """

    features: Sequence[jt.Var]
    strides: tuple[int, ...]
    stages: Mapping[str, Stage]

    def stage(self, name: str | None = None) -> Stage:
        """The stage called `name`; None is the first one."""
        return self.stages[name] if name is not None else next(iter(self.stages.values()))

    def detached(self) -> Trace:
        """The same values, from which no gradient flows back."""
        stages = {name: stage.detached() for name, stage in self.stages.items()}
        return Trace(tuple(x.detach() for x in self.features), self.strides, stages)

    def reordered(self, class_order: Sequence[int]) -> Trace:
        """The same trace with the classes of every stage in another order, see `Stage.reordered`."""
        stages = {name: stage.reordered(class_order) for name, stage in self.stages.items()}
        return dataclasses.replace(self, stages=stages)
