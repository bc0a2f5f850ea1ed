"""Several views of an image: itself and mirrored ones, whose detections are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.data.dota.merge import FLIPS, MERGE_IOU, MergeIou, merge_views, unflip_detections
from jld.errors import ConfigError

# The axes of an image [3, H, W] that a flip turns round.
AXES = {"horizontal": (2,), "vertical": (1,), "diagonal": (1, 2)}


@dataclass(frozen=True)
class Views:
    """How often a detector looks at each image, and how what it finds is joined.

    Attributes:
        flips: "H", "V", "HV": mirrored images that are looked at beside the image itself.
        iou_threshold: what counts as the same object when views, or patches of an image, are joined.
    """

    flips: tuple[str, ...] = ()
    iou_threshold: MergeIou = MERGE_IOU

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
        # Pixel i of w becomes w - 1 - i in the resized image, where one pixel is 1 / scale original ones.
        sizes = batch["ori_shapes"] + 1 - 1 / batch["scale_factors"][:, [1, 0]]
        by_image = {
            img_id: tuple(size) for img_id, size in zip(batch["img_ids"], sizes.tolist(), strict=True)
        }
        return unflip_detections(detections, flip, by_image)

    def join(self, seen: Sequence[Sequence[Detections]], classes: Sequence[str]) -> list[Detections]:
        """What all views found, per image of the first one."""
        image_ids = [found.img_id for found in seen[0]]
        return merge_views(seen, classes, iou_threshold=self.iou_threshold, image_ids=image_ids)


class OrientedViews:
    """Mixin of datasets with rotated boxes, whose views can be joined."""

    classes: tuple[str, ...]
    num_sides = 5

    def views(self, flip_test: Sequence[str] = (), merge_iou_threshold: MergeIou | None = None) -> Views:
        """Mirrored views, and one threshold for all classes or one for each, as the config's keys say.

        Raises:
            ConfigError: a class without a threshold of its own.
        """
        flips = tuple(flip_test)
        if merge_iou_threshold is None:
            return Views(flips)
        if isinstance(merge_iou_threshold, Mapping):
            missing = [name for name in self.classes if name not in merge_iou_threshold]
            if missing:
                raise ConfigError(
                    f"merge_iou_threshold has no threshold for {', '.join(missing)}: write one for each "
                    "class, or one number for all (merge_nms_threshold_type=0)."
                )
        return Views(flips, merge_iou_threshold)
