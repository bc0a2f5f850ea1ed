"""CWD: every channel is a distribution over the places of its map, and copies the teacher's."""

from __future__ import annotations

from collections.abc import Iterator

from jld.boxes.places import on_grid
from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.terms.base import Term
from jld.errors import ConfigError, one_of
from jld.losses.kl import check_temperature
from jld.ops.soft_targets import soft_kl_divergence
from jld.registry import TERMS
from jld.toolchain import jittor as jt

READS = ("features", "cls_logits")


def channel_wise_divergence(student: jt.Var, teacher: jt.Var, temperature: float) -> jt.Var:
    """KL divergence between two softmaxes over the places of every channel, mean over channels and images.

    Args:
        student, teacher: [N, D, M] a row of M places per channel; no gradient flows into the teacher's.
        temperature: both sides are divided by it, the result is multiplied by its square.
    Returns:
        Scalar Var, in nats.
    Source: arXiv:2011.13256, equation 5.
    """
    divergence = soft_kl_divergence(student, teacher.detach(), temperature)  # [N, D]
    return divergence.mean() * (temperature * temperature)


@TERMS.register
class CWD(Term):
    """Channel-wise distillation: L = sum over levels of `channel_wise_divergence`.

    It looks at where a channel is strong, not at how strong, so offsets per channel are free. Over a large
    level at temperature 1 few places count.

    Args:
        weight: 5 on class logits, 10 on features in the released configs.
        reads: `cls_logits` (the published row: one channel per class and prior of a cell) or `features`.
        temperature: 1 in the released configs.
        adapter: None, "1x1" or "3x3" on features of other widths.
        stage: see `Term`.
        name: key in the loss dict.
    Raises:
        ConfigError: unknown `reads`, temperature below 1, or an adapter on logits.
    Source: arXiv:2011.13256; open-mmlab/mmrazor (ChannelWiseDivergence), whose 0.x config reads logits.
    """

    def __init__(
        self,
        weight: float = 5.0,
        *,
        reads: str = "cls_logits",
        temperature: float = 1.0,
        adapter: str | int | None = None,
        stage: str | None = None,
        name: str = "loss_cwd",
    ):
        one_of(reads, READS, f"CWD: unknown reads {reads!r}")
        if adapter is not None and reads == "cls_logits":
            raise ConfigError(
                "CWD: an adapter belongs to reads='features'; logits are compared class by class."
            )
        adapters = ConvAdapters(adapter, bias=False) if reads == "features" else None
        super().__init__(weight, name, stage=stage, adapters=adapters)
        self.temperature = float(check_temperature(temperature))
        self.reads_features, self.needs_grid = reads == "features", reads == "cls_logits"
        self.requires = () if self.reads_features else ("cls_logits",)

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        losses = [channel_wise_divergence(*rows, self.temperature) for rows in self._rows(context)]
        return sum(losses[1:], losses[0])

    def _rows(self, context: StepContext) -> Iterator[tuple[jt.Var, jt.Var]]:
        """Student's and teacher's [N, D, places] of every level."""
        if self.reads_features:
            for level, student, teacher in context.feature_levels():
                shape = (*teacher.shape[:2], -1)
                yield self.adapters(level, student).reshape(shape), teacher.reshape(shape)
            return
        places = on_grid(context.places)
        for rows in places.level_slices:
            sides = (side.predictions["cls_logits"][:, rows] for side in (context.student, context.teacher))
            yield tuple(_per_channel(logits, places.num_per_cell) for logits in sides)


def _per_channel(logits: jt.Var, per_cell: int) -> jt.Var:
    """[N, cells * A, C] as [N, A * C, cells]."""
    n, _, c = logits.shape
    return logits.reshape(n, -1, per_cell * c).permute(0, 2, 1)
