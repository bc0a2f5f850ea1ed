"""A training step of torchvision's Faster R-CNN or Mask R-CNN, with jld's sizes and batch.

Another detector than jld's, not a copy of it: weights, draws and details are its own (`DIFFERS`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torchvision
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import fastrcnn_loss, maskrcnn_loss
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import MultiScaleRoIAlign

from .losses import total
from .scene import read_parts
from .tasks import OPTIMIZER, Tasks, untimed

# What torchvision's detectors are made for, and what is jld's default.
WIDTHS = {"base_channels": 64, "head_channels": 256}
LEVELS = ["0", "1", "2", "3"]
DIFFERS = (
    "its own weights and draws, crops not aligned to half a cell, smooth L1, background with box deltas; "
    "both compute the masks of their own positive RoIs, whose numbers differ"
)

Step = dict[str, torch.Tensor]


def make_detector(given: dict[str, Any]) -> FasterRCNN:
    """The detector in training mode, normalised by running statistics; stem and first stage do not learn.

    Raises:
        ValueError: other widths than torchvision's.
    """
    if {name: given[name] for name in WIDTHS} != WIDTHS:
        raise ValueError(f"torchvision's detectors have the widths {WIDTHS}: compare at these, or alone.")
    backbone = resnet_fpn_backbone(
        backbone_name=f"resnet{given['student_depth']}",
        weights=None,
        norm_layer=torch.nn.BatchNorm2d,
        trainable_layers=3,
    )
    options = {
        "num_classes": given["num_classes"] + 1,  # the background is a class of its own
        "rpn_post_nms_top_n_train": 1000,
        "box_roi_pool": MultiScaleRoIAlign(LEVELS, 7, sampling_ratio=0),
    }
    if given["detector"] == "mask_rcnn":
        detector = MaskRCNN(
            backbone, mask_roi_pool=MultiScaleRoIAlign(LEVELS, 14, sampling_ratio=0), **options
        )
    else:
        detector = FasterRCNN(backbone, **options)
    detector.train()
    detector.backbone.body.eval()
    return detector


class TwoStageTasks(Tasks):
    """Steps of a detector without a teacher."""

    def __init__(self, given: dict[str, Any]):
        about = {"torchvision": torchvision.__version__, "differs": DIFFERS, "same losses": False}
        about |= {"training in": "float32"}
        super().__init__(given["device"], given["product_side"], about)
        batch = read_parts(given)["batch"]
        self.memory_format = torch.channels_last if given["channels_last"] else torch.contiguous_format
        self.images, self.objects = torch.from_numpy(batch["images"]), objects_of(batch)
        self.detector = make_detector(given).to(self.device, memory_format=self.memory_format)
        learning = [weight for weight in self.detector.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.SGD(learning, **OPTIMIZER)
        self.labels: list[torch.Tensor] = []
        self.staged = self._step
        self.timed["step"] = lambda: self._step(untimed)
        self.asked["sampled"] = self._sampled

    def _step(self, run: Callable) -> None:
        losses = self._losses(run)
        self.optimizer.zero_grad()
        run("backward", lambda: total(losses.values()).backward())
        run("optimizer", self.optimizer.step)

    def _losses(self, run: Callable) -> Step:
        heads = self.detector.roi_heads
        images, objects = run("batch to device", self._batch)
        features = run("features", lambda: self.detector.backbone(images.tensors))
        rpn = run("RPN, its sample", lambda: self._rpn(images, features, objects))
        proposals = run("proposals", lambda: self._proposals(images, rpn))
        boxes, matched, self.labels, wanted = run(
            "sample of RoIs", lambda: heads.select_training_samples(proposals, objects)
        )
        sizes = images.image_sizes

        def second_look() -> Any:
            return heads.box_predictor(heads.box_head(heads.box_roi_pool(features, boxes, sizes)))

        def mask_logits() -> tuple[torch.Tensor, list[torch.Tensor]]:
            positive = [own[labels > 0] for own, labels in zip(boxes, self.labels)]
            crops = heads.mask_roi_pool(features, positive, sizes)
            return heads.mask_predictor(heads.mask_head(crops)), positive

        predicted = run("RoI head", second_look)
        masks = run("mask head", mask_logits) if heads.has_mask() else None

        def losses() -> Step:
            found = list(self.detector.rpn.compute_loss(*rpn["predicted"], *rpn["wanted"]))
            found += fastrcnn_loss(*predicted, self.labels, wanted)
            if masks is not None:
                positive = [labels > 0 for labels in self.labels]
                index = [own[chosen] for own, chosen in zip(matched, positive)]
                labels, bitmaps = ([image[key] for image in objects] for key in ("labels", "masks"))
                found.append(maskrcnn_loss(masks[0], masks[1], bitmaps, labels, index))
            return dict(enumerate(found))

        return run("task losses", losses)

    def _batch(self) -> tuple[ImageList, list[Step]]:
        images = self.images.to(self.device).contiguous(memory_format=self.memory_format)
        objects = [{key: value.to(self.device) for key, value in each.items()} for each in self.objects]
        return ImageList(images, [tuple(images.shape[2:])] * len(images)), objects

    def _rpn(self, images: ImageList, features: Step, objects: list[Step]) -> dict[str, Any]:
        rpn, levels = self.detector.rpn, list(features.values())
        objectness, deltas = rpn.head(levels)
        anchors = rpn.anchor_generator(images, levels)
        counts = [level[0].numel() for level in objectness]
        predicted = concat_box_prediction_layers(objectness, deltas)
        labels, matched = rpn.assign_targets_to_anchors(anchors, objects)
        wanted = labels, rpn.box_coder.encode(matched, anchors)
        return {"predicted": predicted, "wanted": wanted, "anchors": anchors, "counts": counts}

    def _proposals(self, images: ImageList, found: dict[str, Any]) -> list[torch.Tensor]:
        rpn, (objectness, deltas) = self.detector.rpn, found["predicted"]
        boxes = rpn.box_coder.decode(deltas.detach(), found["anchors"]).view(len(found["anchors"]), -1, 4)
        return rpn.filter_proposals(boxes, objectness, images.image_sizes, found["counts"])[0]

    @torch.no_grad()
    def _sampled(self) -> dict[str, int]:
        self._losses(untimed)
        return {
            "RoIs": sum(len(labels) for labels in self.labels),
            "positive RoIs": sum(int((labels > 0).sum()) for labels in self.labels),
        }


def objects_of(batch: dict[str, np.ndarray]) -> list[Step]:
    """Boxes, labels (the background is 0) and, where there are any, masks of every image."""
    found = []
    for image, real in enumerate(batch["box_mask"] > 0):
        each = {
            "boxes": batch["boxes"][image][real],
            "labels": batch["labels"][image][real].astype(np.int64) + 1,
        }
        if "mask_bitmaps" in batch:
            each["masks"] = batch["mask_bitmaps"][image][real]
        found.append({key: torch.from_numpy(value) for key, value in each.items()})
    return found
