"""FBKD: attention-guided imitation, and imitation of what non-local blocks see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jld.distill.context import StepContext
from jld.distill.maps import channel_attention, spatial_attention
from jld.distill.non_local import NonLocalBlock
from jld.distill.terms.base import Term
from jld.losses.reduction import total
from jld.models.interface import Interface
from jld.ops.conv2d import Conv2d
from jld.registry import TERMS
from jld.toolchain import jittor as jt

nn = jt.nn


def euclidean(difference: jt.Var, weights: jt.Var | float = 1.0) -> jt.Var:
    """Square root of the weighted sum of squares of a whole array, finite slope at 0."""
    return jt.sqrt(total(difference * difference * weights) + 1e-12)


class LevelAdapters(jt.Module):
    """Everything FBKD trains for one level: four adapters, and a non-local block for each network.

    Args:
        channels: D of the student's and of the teacher's map.
        inner_channels, pooling: of the non-local blocks.
    """

    def __init__(self, channels: tuple[int, int], inner_channels: int, pooling: int):
        own, given = channels
        self.feature = Conv2d(own, given, 1)
        self.channel = nn.Linear(own, given)
        self.spatial = Conv2d(1, 1, 3, padding=1)
        self.non_local = Conv2d(own, given, 1)
        self.student_block = NonLocalBlock(own, inner_channels, pooling)
        self.teacher_block = NonLocalBlock(given, inner_channels, pooling)


@TERMS.register
class FBKD(Term):
    """Attention-guided and non-local distillation, levels added.

    With spatial attention M and channel attention K, means of both networks' and constants, and ||x|| the
    root of the sum of squares over a whole batch,
    L = attention_weight || sqrt(M K) (T - A1(S)) ||
      + pooling_weight (|| GAP(T) - A2(GAP(S)) || + || mean_c T - A3(mean_c S) ||)
      + non_local_weight || B_t(T) - A4(B_s(S)) ||,
    A1 to A4 adapters and B non-local blocks, all trained, separate for every level. Reads `features`.

    Args:
        weight: factor of the whole term.
        attention_weight, pooling_weight, non_local_weight: 4.2e-4, 2.4e-2 and 4.2e-4 for one-stage detectors,
            7e-5, 4e-3 and 7e-5 for two-stage ones.
        temperature: of both attentions; 0.1 for one-stage, 0.5 for two-stage detectors.
        use_channel_attention: whether K weighs the first part: yes for one-stage; computed but not used
            in the two-stage code. Needs maps of equal width, else only the teacher's K is taken.
        inner_channels, pooling: of the non-local blocks, a number per level of the student, fine to coarse.
        images_per_norm: the norms grow with the root of the batch, and the weights are meant for 2 images on
            each GPU. With a number, norms are divided by the root of (images / this number), which makes them
            independent of the batch; None is the released behaviour.
        levels: numbers of the student's levels that are read, 0 is the finest; None: all. Rows of two-stage
            detectors leave out the coarsest.
        name: key in the loss dict.
    Source: Zhang and Ma, "Improve object detection with feature-based knowledge distillation", ICLR 2021,
        and its supplement; open-mmlab/mmrazor (FBKDLoss).
    Differs: 1e-12 under every root, whose slope is infinite at 0 otherwise.
    """

    reads_features = True

    def __init__(
        self,
        weight: float = 1.0,
        attention_weight: float = 4.2e-4,
        pooling_weight: float = 2.4e-2,
        non_local_weight: float = 4.2e-4,
        *,
        temperature: float = 0.1,
        use_channel_attention: bool = True,
        inner_channels: Sequence[int] = (64, 64, 128, 128, 128),
        pooling: Sequence[int] = (8, 4, 2, 2, 2),
        images_per_norm: int | None = None,
        levels: Sequence[int] | None = None,
        name: str = "loss_fbkd",
    ):
        super().__init__(weight, name, levels=levels)
        self.attention_weight, self.pooling_weight = attention_weight, pooling_weight
        self.non_local_weight = non_local_weight
        self.temperature, self.use_channel_attention = temperature, use_channel_attention
        self.inner_channels, self.pooling = tuple(inner_channels), tuple(pooling)
        self.images_per_norm = images_per_norm
        self.blocks: dict[int, LevelAdapters] = {}

    def check(self, student: Interface, teacher: Interface) -> list[str]:
        """See `Term`."""
        num_levels = len(student.strides)
        if len(self.inner_channels) == len(self.pooling) == num_levels:
            return super().check(student, teacher)
        return [
            f"FBKD: inner_channels and pooling name {len(self.inner_channels)} and {len(self.pooling)} "
            f"levels, the student has {num_levels}: give a number per level"
        ]

    def bind(self, student: Interface, teacher: Interface) -> None:
        """Makes the adapters and non-local blocks of every shared level."""
        widths = student.channels, teacher.channels
        self.blocks = {
            level: LevelAdapters(widths, self.inner_channels[level], self.pooling[level])
            for level in self.read_levels(student, teacher)
        }

    def modules(self) -> Mapping[str, jt.Module]:
        """See `Term`."""
        return {f"level.{level}": block for level, block in self.blocks.items()}

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        total, images = 0.0, 1
        for level, student, teacher in context.feature_levels(self.levels):
            total, images = total + self.level_loss(level, student, teacher), student.shape[0]
        return total if self.images_per_norm is None else total * (self.images_per_norm / images) ** 0.5

    def level_loss(self, level: int, student: jt.Var, teacher: jt.Var) -> jt.Var:
        """Scalar Var of the maps [N, D, H, W] of one level."""
        adapters = self.blocks[level]
        means = teacher.mean([2, 3]) - adapters.channel(student.mean([2, 3]))
        places = teacher.mean(1, keepdims=True) - adapters.spatial(student.mean(1, keepdims=True))
        seen = adapters.teacher_block(teacher) - adapters.non_local(adapters.student_block(student))
        return (
            self.attention_weight
            * euclidean(teacher - adapters.feature(student), self._attention(student, teacher))
            + self.pooling_weight * (euclidean(means) + euclidean(places))
            + self.non_local_weight * euclidean(seen)
        )

    def _attention(self, student: jt.Var, teacher: jt.Var) -> jt.Var:
        """[N, D or 1, H, W] M K, constant."""
        spatial = (
            spatial_attention(student, self.temperature) + spatial_attention(teacher, self.temperature)
        ) / 2
        weights = spatial.unsqueeze(1)
        if self.use_channel_attention:
            channel = channel_attention(teacher, self.temperature)
            if student.shape[1] == teacher.shape[1]:
                channel = (channel + channel_attention(student, self.temperature)) / 2
            weights = weights * channel.unsqueeze(2).unsqueeze(3)
        return weights.detach()
