"""Several views of an image: itself, mirrored and resized ones, whose detections are joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from jld.boxes.detections import Detections
from jld.data.dota.merge import FLIPS, MergeIou, merge_views, unflip_detections
from jld.errors import ConfigError

# The axes of an image [3, H, W] that a flip turns round.
AXES = {"horizontal": (2,), "vertical": (1,), "diagonal": (1, 2)}
SIZE_DIVISOR = 32


@dataclass(frozen=True)
class Views:
    """How often a detector looks at each image, and how what it finds is joined.

    Each view is suppressed by itself and what is left of all of them once more.

    Attributes:
        flips: "H", "V", "HV": mirrored images that are looked at beside the image itself.
        iou_threshold: what counts as the same object when views, or patches of an image, are joined; None:
            see `merge_views`.
        scales: > 0, the image in other sizes that is looked at as well, with the same flips.
    """

    flips: tuple[str, ...] = ()
    iou_threshold: MergeIou | None = None
    scales: tuple[float, ...] = ()

    def __len__(self) -> int:
        return (1 + len(self.scales)) * (1 + len(self.flips))

    def looks(self, batch: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str | None]]:
        """(batch as it is seen, flip or None) of every view, the batch itself first."""
        for scale in (None, *self.scales):
            seen = batch if scale is None else resized(batch, scale)
            yield seen, None
            for flip in self.flips:
                yield {**seen, "images": self.mirror(seen, flip)}, flip

    def mirror(self, batch: Mapping[str, Any], flip: str) -> np.ndarray:
        """The images [N, 3, H, W] of a batch, each mirrored where it is; the padding stays where it was."""
        images = batch["images"].copy()
        for image, (height, width) in zip(images, batch["img_shapes"].astype(int), strict=True):
            image[:, :height, :width] = np.flip(image[:, :height, :width], AXES[FLIPS[flip]])
        return images

    def unmirror(
        self, detections: Sequence[Detections], batch: Mapping[str, Any], flip: str
    ) -> list[Detections]:
        """Detections in the mirrored images of a batch, in the coordinates of the original ones."""
        is_upright = all(found.form == "boxes" for found in detections)
        # Edges x of upright boxes become w - x, as in RandomFlip. Of others pixel i of w becomes w - 1 - i in
        # the resized image, where one pixel is 1 / scale original ones.
        pixel = 0 if is_upright else 1 / batch["scale_factors"][:, [1, 0]]
        sizes = batch["ori_shapes"] + 1 - pixel
        by_image = {
            img_id: tuple(size) for img_id, size in zip(batch["img_ids"], sizes.tolist(), strict=True)
        }
        return unflip_detections(detections, flip, by_image)

    def join(self, seen: Sequence[Sequence[Detections]], classes: Sequence[str]) -> list[Detections]:
        """What all views found, per image of the first one."""
        image_ids = [found.img_id for found in seen[0]]
        return merge_views(seen, classes, iou_threshold=self.iou_threshold, image_ids=image_ids)


def resized(batch: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """A batch whose images are resized once more (bilinear), and padded to multiples of 32 px."""
    shapes = np.maximum(np.round(batch["img_shapes"] * scale), 1).astype(int)  # [N, 2] height, width
    height, width = -(-shapes.max(axis=0) // SIZE_DIVISOR) * SIZE_DIVISOR
    images = np.zeros((len(shapes), 3, height, width), np.float32)
    for target, image, old, new in zip(
        images, batch["images"], batch["img_shapes"].astype(int), shapes, strict=True
    ):
        inside = np.ascontiguousarray(image[:, : old[0], : old[1]].transpose(1, 2, 0))
        target[:, : new[0], : new[1]] = cv2.resize(inside, (int(new[1]), int(new[0]))).transpose(2, 0, 1)
    factors = np.tile((shapes / batch["img_shapes"])[:, ::-1], 2)  # [N, 4] x, y, x, y
    return {
        **batch,
        "images": images,
        "img_shapes": shapes.astype(np.float32),
        "pad_shapes": np.full_like(batch["img_shapes"], (height, width)),
        "scale_factors": (batch["scale_factors"] * factors).astype(np.float32),
    }


def make_views(
    flips: Sequence[str], scales: Sequence[float], iou_threshold: MergeIou | None, classes: Sequence[str]
) -> Views:
    """Views as the config's keys say.

    Raises:
        ConfigError: a class without a threshold of its own, or a scale that is none.
    """
    if not all(0 < scale < np.inf and scale != 1 for scale in scales):
        raise ConfigError(
            f"scale_test={list(scales)}: write factors above 0 other than 1, such as [0.8, 1.2]."
        )
    if isinstance(iou_threshold, Mapping):
        missing = [name for name in classes or ("nameless classes",) if name not in iou_threshold]
        if missing:
            raise ConfigError(
                f"merge_iou_threshold has no threshold for {', '.join(missing)}: write one for each "
                "class, or one number for all (merge_nms_threshold_type=0)."
            )
    return Views(tuple(flips), iou_threshold, tuple(scales))


class OrientedViews:
    """Mixin of datasets with rotated boxes, whose patches are joined by the same rule as their views."""

    classes: tuple[str, ...]
    num_sides = 5

    def views(
        self,
        flip_test: Sequence[str] = (),
        merge_iou_threshold: MergeIou | None = None,
        scale_test: Sequence[float] = (),
    ) -> Views:
        """See `Dataset.views`; there are always some, for patches."""
        return make_views(flip_test, scale_test, merge_iou_threshold, self.classes)
