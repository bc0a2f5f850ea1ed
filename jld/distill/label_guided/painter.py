"""From objects and the student's maps to the maps that labels alone would paint.

Source: arXiv:2109.11496; megvii-research/LGD, dynamic_teacher.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jld.distill.label_guided.encoder import LabelEncoder, normalised_relu
from jld.distill.label_guided.instances import Instances
from jld.ops.conv2d import Conv2d
from jld.ops.group_norm import group_norm
from jld.toolchain import jittor as jt

nn = jt.nn
# What is added to the attention of a row that is not there: its share becomes exactly 0.
NEVER = -1e9


@dataclass(frozen=True)
class Interaction:
    """What of an object is asked for, and what answers.

    Attributes:
        query, answer: `student` (appearance) or `labels` (embedding); equal ones pass through unasked.
    """

    query: str
    answer: str

    def reads(self, side: str) -> bool:
        """Whether `student` or `labels` takes part."""
        return side in (self.query, self.answer)

    @property
    def attends(self) -> bool:
        """Whether objects look at each other."""
        return self.query != self.answer


# Beside each what the released code calls it.
INTERACTIONS = {
    "student_guided": Interaction("student", "labels"),  # stuGuided
    "label_guided": Interaction("labels", "student"),  # labelGuided
    "student_fill": Interaction("student", "student"),
    "label_fill": Interaction("labels", "labels"),  # teacher_fill
}


def normalised_map(x: jt.Var, *, relu: bool) -> jt.Var:
    """[N, D, H, W] with mean 0 and deviation 1 over each whole image, without factor and shift."""
    channels = x.shape[1]
    return group_norm(x, jt.ones((channels,)), jt.zeros((channels,)), 1, relu=relu)


class AppearanceEncoder(jt.Module):
    """The mean of a convolved, normalised student map over the cells of each object; 0 without a cell.

    Args:
        channels: D of the student's maps.
    """

    def __init__(self, channels: int):
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def execute(self, maps: Sequence[jt.Var], cells: Sequence[jt.Var]) -> list[jt.Var]:
        """[N, S, D] of every level, from maps [N, D, H_l, W_l] and cells [N, S, H_l, W_l]."""
        pairs = zip(self.conv.levels(maps), cells, strict=True)
        return [self._means(normalised_map(x, relu=True), own) for x, own in pairs]

    def _means(self, encoded: jt.Var, cells: jt.Var) -> jt.Var:
        inside = cells.reshape(*cells.shape[:2], -1)  # [N, S, H * W]
        sums = nn.bmm_transpose(inside, encoded.reshape(*encoded.shape[:2], -1))
        return sums / inside.sum(2, keepdims=True).maximum(1.0)


class RelationAttention(jt.Module):
    """Multi-head attention between the objects of one image, without residual or normalisation around it.

    Args:
        channels: D.
        num_heads: a divisor of D.
    Source: arXiv:1706.03762, section 3.2.2; initial values of PyTorch's MultiheadAttention.
    """

    def __init__(self, channels: int, num_heads: int):
        self.num_heads = num_heads
        bound = math.sqrt(6.0 / (4 * channels))  # Xavier, of the three projections as one layer
        self.in_proj_weight = (jt.rand(3 * channels, channels) * 2.0 - 1.0) * bound
        self.in_proj_bias = jt.zeros((3 * channels,))
        self.out_proj = nn.Linear(channels, channels)
        self.out_proj.bias = jt.zeros((channels,))

    def weights(self, query: jt.Var, keys: jt.Var, real: jt.Var) -> jt.Var:
        """[B, heads, S, S] how much each row of `query` looks at each of `keys`, both [B, S, D]."""
        q, k = self._projected(query, 0), self._projected(keys, 1)
        scores = nn.bmm_transpose(q, k) / math.sqrt(q.shape[2])  # [B * heads, S, S]
        scores = scores.reshape(-1, self.num_heads, *scores.shape[1:])
        return nn.softmax(scores + ((1.0 - real) * NEVER).unsqueeze(1).unsqueeze(2), dim=3)

    def execute(self, query: jt.Var, keys: jt.Var, real: jt.Var) -> jt.Var:
        """[B, S, D]; rows of `keys` whose `real` [B, S] is 0 are not looked at."""
        weights = self.weights(query, keys, real)
        seen = nn.bmm(weights.reshape(-1, *weights.shape[2:]), self._projected(keys, 2))  # [B * heads, S, d]
        seen = seen.reshape(-1, self.num_heads, *seen.shape[1:]).transpose(0, 2, 1, 3)
        return self.out_proj(seen.reshape(query.shape))

    def _projected(self, rows: jt.Var, part: int) -> jt.Var:
        """[B * heads, S, d] the queries (part 0), keys (1) or values (2) of rows [B, S, D]."""
        batch, count, channels = rows.shape
        own = slice(part * channels, (part + 1) * channels)
        rows = nn.linear(rows, self.in_proj_weight[own], self.in_proj_bias[own])
        split = rows.reshape(batch, count, self.num_heads, -1).transpose(0, 2, 1, 3)
        return split.reshape(batch * self.num_heads, count, -1)


class KnowledgeMapper(jt.Module):
    """Objects' vectors painted into their cells, then refined; where cells overlap, vectors add up.

    Args:
        channels: D.
        context_box: whether the last row, the context, is added to every cell.
    """

    def __init__(self, channels: int, *, context_box: bool):
        self.object_proj = nn.Linear(channels, channels)
        self.object_conv = Conv2d(channels, channels, 3, padding=1)
        # Without a context nothing would teach this layer, and weight decay would still shrink it.
        self.context_proj = nn.Linear(channels, channels) if context_box else None
        self.refinement = nn.Sequential(*(Conv2d(channels, channels, 3, padding=1) for _ in range(3)))

    def rendered(self, rows: Sequence[jt.Var], cells: Sequence[jt.Var], paints: jt.Var) -> list[jt.Var]:
        """[N, D, H_l, W_l] of every level, from its rows [N, S, D] and cells [N, S, H_l, W_l].

        `paints` [N, S] says which rows are painted.
        """
        pairs = zip(rows, cells, strict=True)
        painted = self.object_conv.levels([self._painted(*pair, paints) for pair in pairs])
        if self.context_proj is not None:
            contexts = (self.context_proj(x[:, -1]).unsqueeze(2).unsqueeze(3) for x in rows)
            painted = [x + context for x, context in zip(painted, contexts, strict=True)]
        return [nn.relu(x) for x in painted]

    def execute(self, rows: Sequence[jt.Var], cells: Sequence[jt.Var], paints: jt.Var) -> list[jt.Var]:
        """[N, D, H_l, W_l] with mean 0 and deviation 1 over each image, see `rendered`."""
        maps, convs = self.rendered(rows, cells, paints), list(self.refinement)
        for conv in convs:
            maps = [normalised_map(x, relu=conv is not convs[-1]) for x in conv.levels(maps)]
        return maps

    def _painted(self, rows: jt.Var, cells: jt.Var, paints: jt.Var) -> jt.Var:
        vectors = (self.object_proj(rows) * paints.unsqueeze(2)).transpose(0, 2, 1)  # [N, D, S]
        painted = nn.bmm(vectors, cells.reshape(*cells.shape[:2], -1))
        return painted.reshape(*painted.shape[:2], *cells.shape[2:])


class LabelPainter(jt.Module):
    """The instructive maps Z of a batch: as many, and as large, as the student's.

    Args:
        descriptor_size: K of the instances.
        channels: D of the student's maps.
        context_box, interaction, detach_appearance, num_heads: see `LabelGuidedTeacher`.
    """

    def __init__(
        self,
        descriptor_size: int,
        channels: int,
        *,
        context_box: bool = True,
        interaction: str = "student_guided",
        detach_appearance: bool = False,
        num_heads: int = 8,
    ):
        self.interaction, self.detach_appearance = INTERACTIONS[interaction], detach_appearance
        if self.interaction.reads("labels"):
            self.encoder = LabelEncoder(descriptor_size, channels)
            self.value_proj = nn.Linear(channels, channels)
        if self.interaction.reads("student"):
            self.appearance = AppearanceEncoder(channels)
        if self.interaction.attends:
            self.attention = RelationAttention(channels, num_heads)
        self.mapper = KnowledgeMapper(channels, context_box=context_box)

    def execute(self, features: Sequence[jt.Var], instances: Instances) -> list[jt.Var]:
        """[N, D, H_l, W_l] of every level, from the student's maps of these shapes."""
        cells = [instances.cells(*x.shape[2:]) for x in features]
        return self.mapper(self.related(features, cells, instances), cells, instances.paints)

    def values(self, instances: Instances) -> jt.Var:
        """[N, S, D] what the labels say of every row, on any level."""
        return normalised_relu(self.value_proj(self.encoder(instances.descriptors, instances.real)))

    def appearances(self, features: Sequence[jt.Var], cells: Sequence[jt.Var]) -> list[jt.Var]:
        """[N, S, D] what the student sees of every row, level by level."""
        maps = [x.detach() for x in features] if self.detach_appearance else features
        return self.appearance(maps, cells)

    def related(
        self, features: Sequence[jt.Var], cells: Sequence[jt.Var], instances: Instances
    ) -> list[jt.Var]:
        """[N, S, D] of every level: what is painted for each row."""
        # The levels as further images: one attention for all of them.
        num_levels, sides = len(features), {}
        if self.interaction.reads("labels"):
            sides["labels"] = jt.concat([self.values(instances)] * num_levels, dim=0)
        if self.interaction.reads("student"):
            sides["student"] = jt.concat(self.appearances(features, cells), dim=0)
        query, answer = sides[self.interaction.query], sides[self.interaction.answer]
        if self.interaction.attends:
            answer = self.attention(query, answer, jt.concat([instances.real] * num_levels, dim=0))
        num_images = instances.real.shape[0]
        return [answer[level * num_images : (level + 1) * num_images] for level in range(num_levels)]
