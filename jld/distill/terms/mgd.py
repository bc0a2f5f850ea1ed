"""MGD: the student's maps, with random cells masked, must suffice to generate the teacher's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.terms.base import Term
from jld.errors import ConfigError
from jld.losses.reduction import total
from jld.losses.regression import squared_error
from jld.models.interface import Interface
from jld.ops.conv2d import Conv2d
from jld.registry import TERMS
from jld.toolchain import jittor as jt


class Generator(jt.Module):
    """Two 3x3 convolutions with a ReLU between them, all of one width."""

    def __init__(self, channels: int):
        self.first = Conv2d(channels, channels, 3, padding=1)
        self.second = Conv2d(channels, channels, 3, padding=1)

    def execute(self, x: jt.Var) -> jt.Var:
        """[N, D, H, W] to the same."""
        return self.second(jt.nn.relu(self.first(x)))


@TERMS.register
class MGD(Term):
    """Masked generative distillation: L = sum over levels of sum (G(m A(S)) - T)^2 / N. Reads `features`.

    m is 0 in a random share of the cells, drawn anew in every step, for every level and image, from the
    random numbers of the step, so that a resumed run repeats them. G is trained, one per level.

    Args:
        weight: 2e-5 for one-stage detectors, 5e-7 for two-stage ones.
        masked: share of the cells that are hidden; 0.65 for one-stage detectors, 0.45 for two-stage ones.
        per_cell: each level's sum is divided by its cells; released sums let fine levels dominate.
        levels: numbers of the student's levels that are read, 0 is the finest; None: all. Rows of two-stage
            detectors leave out the coarsest.
        adapter: None, "1x1" or "3x3": a convolution per level on the student's maps; needed where the widths
            differ.
        name: key in the loss dict.
    Raises:
        ConfigError: a share outside [0, 1).
    Source: arXiv:2205.01529; yzd-v/MGD. The published one-stage rows also start from the teacher's neck and
        head (`distill.init_from_teacher`).
    """

    reads_features = True

    def __init__(
        self,
        weight: float = 2e-5,
        masked: float = 0.65,
        *,
        per_cell: bool = False,
        levels: Sequence[int] | None = None,
        adapter: str | int | None = None,
        name: str = "loss_mgd",
    ):
        if not 0 <= masked < 1:
            raise ConfigError(f"MGD: masked is {masked}, it must be in [0, 1): 0.65 is published.")
        super().__init__(weight, name, adapters=ConvAdapters(adapter), levels=levels)
        self.masked, self.per_cell = masked, per_cell
        self.generators: dict[str, Generator] = {}

    def bind(self, student: Interface, teacher: Interface) -> None:
        """See `Term`; makes a generator for every shared level."""
        super().bind(student, teacher)
        levels = self.read_levels(student, teacher)
        self.generators = {f"generator.{level}": Generator(teacher.channels) for level in levels}

    def modules(self) -> Mapping[str, jt.Module]:
        """See `Term`."""
        return {**self.adapters.convs, **self.generators}

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        losses = []
        for level, student, teacher in context.feature_levels(self.levels):
            n, _, h, w = teacher.shape
            kept = (jt.rand((n, 1, h, w)) <= 1.0 - self.masked).float32()
            made = self.generators[f"generator.{level}"](self.adapters(level, student) * kept)
            losses.append(total(squared_error(made, teacher)) / (n * (h * w if self.per_cell else 1)))
        return sum(losses[1:], losses[0])
