"""What all heads share that give one row of predictions per prior: towers, layout, assignment, detections."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jld.assign.assignment import Assignment
from jld.assign.interfaces import Assigner
from jld.boxes.detections import Detections
from jld.boxes.interfaces import PriorGenerator
from jld.boxes.places import GridPlaces, Places, on_grid
from jld.models.boxes import BoxRepresentation
from jld.models.interface import StageInterface
from jld.models.layers import ConvModule, Scale, init_normal, prior_probability_bias
from jld.models.postprocess import Postprocess
from jld.models.targets import Targets
from jld.models.trace import Hidden, Stage
from jld.ops.conv2d import Conv2d
from jld.registry import HEADS
from jld.toolchain import jittor as jt

nn = jt.nn


@HEADS.interface
class DenseHead(jt.Module):
    """Base of the dense heads: two towers of convolutions on every level, then the last layers.

    Subclasses set `num_classes`, `boxes`, `priors`, `assigner` and `postprocess`, call `make_towers`, and
    give `level_maps` and `losses`.

    Attributes:
        boxes: what the box outputs stand for.
        hidden_depths: after how many layers a trace keeps the towers' maps (`Detector.keep_hidden`).
    """

    num_classes: int
    boxes: BoxRepresentation
    priors: PriorGenerator
    assigner: Assigner
    postprocess: Postprocess
    class_keys: tuple[str, ...] = ("cls_logits",)
    hidden_depths: frozenset[int] = frozenset()

    def make_towers(
        self,
        in_channels: int,
        channels: int,
        depth: int,
        num_norm_groups: int | None,
        *,
        bias: bool | None = None,
    ) -> None:
        """Makes `cls_convs` and `reg_convs`, see `conv_tower`."""
        self.cls_convs = conv_tower(in_channels, channels, depth, num_norm_groups, bias=bias)
        self.reg_convs = conv_tower(in_channels, channels, depth, num_norm_groups, bias=bias)
        self.feat_channels = channels

    def last_conv(self, values_per_prior: int, kernel_size: int = 3, *, bias: float = 0.0) -> Conv2d:
        """A last layer: from the towers' width to all priors of a cell, weights from N(0, 0.01)."""
        channels = self.priors.num_per_cell * values_per_prior
        conv = Conv2d(self.feat_channels, channels, kernel_size, padding=kernel_size // 2)
        init_normal(conv, bias=bias)
        return conv

    def last_cls(self, num_classes: int, kernel_size: int = 3) -> Conv2d:
        """The last layer of the classes, whose scores all start at 0.01."""
        return self.last_conv(num_classes, kernel_size, bias=prior_probability_bias(0.01))

    def level_factors(self) -> jt.nn.Sequential:
        """A learnable factor for every level, for `scales`."""
        return nn.Sequential(*(Scale() for _ in self.priors.strides))

    def scaled(self, maps: Sequence[jt.Var]) -> list[jt.Var]:
        """The maps of all levels times the factors in `scales`."""
        return [scale(x) for scale, x in zip(self.scales, maps, strict=True)]

    @property
    def box_size(self) -> int:
        """Numbers in the box prediction of one prior."""
        return math.prod(self.boxes.shape)

    def prediction_shapes(self) -> dict[str, tuple[int, ...]]:
        """{key of the predictions: trailing shape per prior}, in the order of `level_maps`."""
        return {"cls_logits": (self.num_classes,), self.boxes.key: self.boxes.shape}

    @property
    def interface(self) -> StageInterface:
        """What others may know of this head."""
        places: dict[str, object] = {"strides": tuple(self.priors.strides)}
        places["priors per cell"] = self.priors.num_per_cell
        if self.priors.num_per_cell > 1:
            places["anchors"] = self.priors.shapes
        return StageInterface(
            head=type(self).__name__,
            num_classes=self.num_classes,
            shapes=self.prediction_shapes(),
            boxes=self.boxes,
            class_keys=self.class_keys,
            places=places,
            anchors=self.priors.shapes,
            center_offset=self.priors.center_offset,
            tower=(len(self.cls_convs), self.feat_channels),
        )

    def execute(self, features: Sequence[jt.Var]) -> dict[str, jt.Var]:
        """Predictions (see the class) for the neck's maps [N, D, H_l, W_l], fine to coarse."""
        return self.resume(self.tower(features, 0), 0)

    def tower(self, features: Sequence[jt.Var], upto: int) -> Hidden:
        """The maps of both towers after `upto` layers, before the last one's ReLU; with 0 the features."""
        return self._advance([(x, x) for x in features], 0, upto)

    def resume(self, hidden: Hidden, after: int) -> dict[str, jt.Var]:
        """The predictions (see the class) that follow from what `tower` gives after `after` layers."""
        towers = [list(convs)[after:] for convs in (self.cls_convs, self.reg_convs)]
        ends = [_through(layers, maps) for layers, maps in zip(towers, _sides(hidden, after), strict=True)]
        shapes = self.prediction_shapes()
        return {
            key: flatten_levels(maps, per_prior=shapes[key]) for key, maps in self.level_maps(*ends).items()
        }

    def _advance(self, hidden: Hidden, start: int, stop: int) -> Hidden:
        """From maps after `start` layers to maps after `stop` layers, neither with its last ReLU."""
        if start == stop:
            return hidden
        towers = [list(convs)[start:stop] for convs in (self.cls_convs, self.reg_convs)]
        sides = [
            layers[-1].levels(_through(layers[:-1], maps), relu=False)
            for layers, maps in zip(towers, _sides(hidden, start), strict=True)
        ]
        return list(zip(*sides, strict=True))

    def level_maps(self, cls_maps: list[jt.Var], reg_maps: list[jt.Var]) -> dict[str, list[jt.Var]]:
        """{key: [N, A * values, H_l, W_l] of every level}, the last layers' output, from the towers' maps."""
        raise NotImplementedError

    def stage(self, features: Sequence[jt.Var], targets: Targets | None = None) -> Stage:
        """The stage of the neck's maps; with targets it knows who is positive."""
        hidden, depth, kept = self.tower(features, 0), 0, {}
        for wanted in sorted(self.hidden_depths):
            hidden, depth = self._advance(hidden, depth, wanted), wanted
            kept[wanted] = hidden
        places = self.priors.priors([x.shape[2:] for x in features])
        assignment = None if targets is None else self.assign(places, targets)
        return Stage(self.resume(hidden, depth), places, self, assignment, kept)

    def assign(self, places: GridPlaces, targets: Targets) -> Assignment:
        """The assignment of the priors to the targets."""
        return self.assigner(places, targets, places.valid_mask(targets.pad_shapes), self.num_classes)

    def losses(self, stage: Stage) -> dict[str, jt.Var]:
        """{name: scalar} task losses of a stage with an assignment."""
        raise NotImplementedError

    def probabilities(self, predictions: Mapping[str, jt.Var]) -> jt.Var:
        """[N, P, C] the score of every class in [0, 1]."""
        return jt.sigmoid(predictions["cls_logits"])

    def confidence(self, predictions: Mapping[str, jt.Var]) -> jt.Var:
        """[N, P] the highest class score."""
        # The sigmoid is monotone: reduce first, then one sigmoid per prior instead of one per class.
        return jt.sigmoid(predictions["cls_logits"].max(dim=-1))

    def decode(self, predictions: Mapping[str, jt.Var], places: Places) -> jt.Var:
        """[N, P, 4 or 5] the predicted boxes in px of the network input."""
        return self.boxes.decode(predictions[self.boxes.key], places)

    def detect(self, stage: Stage, batch: Mapping[str, Any]) -> list[Detections]:
        """Detections of every image in px of the original images, see `Postprocess`.

        A head that predicts `centerness_logits` has its boxes ranked by score times centerness.
        """
        quality = None
        if "centerness_logits" in stage.predictions:
            quality = jt.sigmoid(stage.predictions["centerness_logits"]).numpy()
        scores, boxes = stage.probabilities().numpy(), stage.boxes().numpy()
        return self.postprocess(scores, boxes, on_grid(stage.places), batch, quality=quality)


def _sides(hidden: Hidden, depth: int) -> list[list[jt.Var]]:
    """The maps of both towers, with the last ReLU of their first `depth` layers."""
    return [[nn.relu(x) if depth else x for x in maps] for maps in zip(*hidden, strict=True)]


def _through(layers: Sequence[ConvModule], maps: list[jt.Var]) -> list[jt.Var]:
    for layer in layers:
        maps = layer.levels(maps)
    return maps


def conv_tower(
    in_channels: int, channels: int, depth: int, num_norm_groups: int | None, *, bias: bool | None = None
) -> jt.nn.Sequential:
    """`depth` times 3x3 convolution, group normalisation and ReLU; weights from N(0, 0.01).

    Args:
        num_norm_groups, bias: see `ConvModule`.
    """
    tower = nn.Sequential()
    for index in range(depth):
        layer = ConvModule(
            in_channels if index == 0 else channels,
            channels,
            3,
            padding=1,
            num_norm_groups=num_norm_groups,
            bias=bias,
            relu=True,
        )
        init_normal(layer.conv)
        tower.append(layer)
    return tower


def flatten_levels(maps: Sequence[jt.Var], *, per_prior: Sequence[int]) -> jt.Var:
    """Maps of all levels as one array with a row per prior.

    Args:
        maps: [N, A * prod(per_prior), H_l, W_l], A priors per cell outermost in the channels.
        per_prior: trailing shape of one prior's prediction, for example (C,) or (4, B).
    Returns:
        [N, P, *per_prior] in the order of `GridPlaces`.
    """
    size = math.prod(per_prior)
    # Three axes for every prediction: all share the kernels of the concatenation.
    rows = [x.permute(0, 2, 3, 1).reshape((x.shape[0], -1, size)) for x in maps]  # [N, H * W * A, size]
    return jt.concat(rows, dim=1).reshape((maps[0].shape[0], -1, *per_prior))
