"""The mask head: which pixels of a RoI belong to the object, apart for every class.

Source: arXiv:1703.06870, section 3, figure 4 (right).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from jld.boxes.places import Places
from jld.errors import ConfigError
from jld.losses.cross_entropy import require_cross_entropy
from jld.losses.reduction import Loss
from jld.models.boxes import BoxRepresentation
from jld.models.heads.box_head import entries_of
from jld.models.interface import StageInterface
from jld.models.layers import ConvModule, init_kaiming_normal
from jld.models.trace import Hidden, Stage
from jld.ops.biased_relu import biased_relu
from jld.ops.conv2d import Conv2d, conv2d
from jld.ops.mask_targets import LARGEST_SIZE
from jld.registry import HEADS
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks

nn = jt.nn


@HEADS.register(aliases=("FCNMaskHead",))
class MaskHead(jt.Module):
    """Convolutions on the crop of a RoI, then twice the size, then a mask for every class.

    Predictions, a row for each of R RoIs:
        mask_logits: [N, R, C, S, S] before a sigmoid, S = 2 roi_feat_size; [N, R, 1, S, S] with
            `class_agnostic`.

    Args:
        num_classes: C.
        in_channels: channels of the pyramid.
        conv_out_channels: width of the convolutions.
        num_convs: convolutions before the up-sampling.
        roi_feat_size: bins along each side of a crop.
        class_agnostic: one mask for all classes.
        loss_mask: binary cross entropy, `CrossEntropyLoss(use_sigmoid=True)`.
    Raises:
        ConfigError: another loss, or masks larger than targets can be made for.
    Source: arXiv:1703.06870; mmDetection's FCNMaskHead, whose names of layers are kept.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 256,
        conv_out_channels: int = 256,
        num_convs: int = 4,
        roi_feat_size: int = 14,
        *,
        class_agnostic: bool = False,
        loss_mask: Loss,
    ):
        require_cross_entropy(loss_mask, "MaskHead.loss_mask", use_sigmoid=True)
        if not 0 < 2 * roi_feat_size <= LARGEST_SIZE:
            raise ConfigError(
                f"MaskHead.roi_feat_size is {roi_feat_size}, not 1 to {LARGEST_SIZE // 2}: published is 14."
            )
        self.num_classes, self.class_agnostic, self.roi_feat_size = num_classes, class_agnostic, roi_feat_size
        self.loss_mask = loss_mask
        widths = [in_channels, *[conv_out_channels] * num_convs]
        self.convs = nn.Sequential(
            *(ConvModule(own, conv_out_channels, 3, padding=1, relu=True) for own in widths[:-1])
        )
        self.upsample = Doubled(widths[-1], conv_out_channels)
        self.conv_logits = Conv2d(conv_out_channels, 1 if class_agnostic else num_classes, 1)
        for layer in (*(module.conv for module in self.convs), self.conv_logits):
            init_kaiming_normal(layer)

    @property
    def mask_size(self) -> int:
        """S, pixels along each side of a mask."""
        return 2 * self.roi_feat_size

    @property
    def class_keys(self) -> tuple[str, ...]:
        """The keys whose first trailing axis is the classes."""
        return () if self.class_agnostic else ("mask_logits",)

    def interface_on(self, boxes: BoxRepresentation) -> StageInterface:
        """What others may know of this head; its places are boxes of another one, told by `boxes`."""
        num_masks = 1 if self.class_agnostic else self.num_classes
        return StageInterface(
            head=type(self).__name__,
            num_classes=self.num_classes,
            shapes={"mask_logits": (num_masks, self.mask_size, self.mask_size)},
            boxes=boxes,
            class_keys=self.class_keys,
            places={},
            center_offset=0.5,
        )

    def execute(self, crops: jt.Var, num_images: int, mask: jt.Var | None = None) -> dict[str, jt.Var]:
        """Predictions (see the class) of crops [N * R, D, size, size].

        Args:
            mask: [N, R] 1 for RoIs that are there; the others take no time on the CPU, and what is predicted
                of them has no meaning. None: all are there.
        """
        live = None if mask is None else mask.reshape(-1)
        fourfold = None if mask is None else mask.reshape(-1, 1).broadcast((crops.shape[0], 4)).reshape(-1)
        x = crops
        for layer in self.convs:
            x = layer.conv(x, live, relu=True)
        x = self.conv_logits(self.upsample(x, live), fourfold)  # [4 N R, C, size, size]
        c, h, w = x.shape[1:]
        x = x.reshape(-1, 2, 2, c, h, w).permute(0, 3, 4, 1, 5, 2)
        return {"mask_logits": x.reshape(num_images, crops.shape[0] // num_images, c, 2 * h, 2 * w)}

    def losses(self, stage: Stage, wanted: jt.Var) -> dict[str, jt.Var]:
        """Mean over the pixels of all ranks' positive RoIs, in the mask of the assigned class.

        Args:
            wanted: [N, R, S, S] the mask of each RoI's object in the frame of the RoI, 0 or 1.
        Returns:
            {"loss_mask"}: scalar; 0 without positives.
        """
        assignment = stage.assigned
        positive = assignment.positive_mask * assignment.label_weights
        loss = self.loss_mask(
            self.of_class(stage.predictions["mask_logits"], assignment.labels),
            wanted.detach(),
            weight=positive,
            avg_factor=jt.maximum(mean_over_ranks(positive.sum()), 1.0) * self.mask_size**2,
        )
        return {"loss_mask": loss}

    def of_class(self, mask_logits: jt.Var, labels: jt.Var) -> jt.Var:
        """[N, R, S, S] the mask of the class in labels [N, R]; zeros for the background."""
        return mask_logits[:, :, 0] if self.class_agnostic else entries_of(mask_logits, labels)

    def probabilities(self, predictions: Mapping[str, jt.Var]) -> jt.Var:
        """See `_refuse`."""
        return self._refuse("class scores")

    def confidence(self, predictions: Mapping[str, jt.Var]) -> jt.Var:
        """See `_refuse`."""
        return self._refuse("class scores")

    def decode(self, predictions: Mapping[str, jt.Var], places: Places) -> jt.Var:
        """See `_refuse`."""
        return self._refuse("boxes")

    def resume(self, hidden: Hidden, after: int) -> dict[str, jt.Var]:
        """See `_refuse`."""
        return self._refuse("towers")

    def _refuse(self, what: str) -> jt.Var:
        """Tells who reads a stage for what it does not have.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"the stage of masks has no {what}: read those of the stage 'roi'.")


class Doubled(jt.Module):
    """A transposed convolution of kernel and stride 2 and a ReLU: every cell becomes a square of four.

    The squares do not overlap, so it is a convolution by one cell with four times the channels. What follows
    is a convolution by one cell as well: the four are images of their own until it is done, and as few
    channels as there are classes are laid side by side.
    """

    def __init__(self, in_channels: int, out_channels: int):
        deviation = math.sqrt(2.0 / (4 * out_channels))  # as `init_kaiming_normal`
        self.weight = jt.randn(in_channels, out_channels, 2, 2) * deviation
        self.bias = jt.zeros((out_channels,))

    def execute(self, x: jt.Var, live: jt.Var | None = None) -> jt.Var:
        """[N, D, H, W] to [4 N, D', H, W]: of every image upper left, upper right, lower left, lower right.

        Args:
            live: [N], see `jld.ops.conv2d`.
        """
        n, _, h, w = x.shape
        inputs, outputs = self.weight.shape[:2]
        filters = self.weight.permute(2, 3, 1, 0).reshape(4 * outputs, inputs, 1, 1)
        y = biased_relu(conv2d(x, filters, live=live), jt.concat([self.bias] * 4), live)
        return y.reshape(4 * n, outputs, h, w)
