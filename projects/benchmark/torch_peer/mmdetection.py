"""A training step of mmDetection's own Faster R-CNN or Mask R-CNN, with jld's weights and batch.

Its configs, models, assigners and losses with mmcv's operators, as they are; only the sampler is another one,
without chance, so that it learns from the anchors and RoIs that jld learns from.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import mmcv
import mmdet
import numpy as np
import torch
from mmdet.models.task_modules.samplers import RandomSampler
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.structures import InstanceData

from .losses import total
from .scene import read_parts
from .tasks import OPTIMIZER, Tasks, untimed

CONFIGS = {"faster_rcnn": "faster-rcnn_r50_fpn.py", "mask_rcnn": "mask-rcnn_r50_fpn.py"}
DIFFERS = "draws without chance, in jld as well: the same anchors and RoIs in both"

Losses = dict[str, torch.Tensor]


@TASK_UTILS.register_module()
class EvenSampler(RandomSampler):
    """Of n candidates in order it takes k: numbers i n // k for i = 0 to k - 1, as jld's `SpreadSampler`."""

    def random_choice(self, gallery: torch.Tensor, num: int) -> torch.Tensor:
        """See the class."""
        return gallery[torch.arange(num, device=gallery.device) * len(gallery) // num]


def config_file(name: str) -> Path:
    """A file of mmDetection's configs/_base_/models: of an installed package, or of a checkout."""
    package = Path(mmdet.__file__).parent
    folders = [package / ".mim" / "configs", package.parent / "configs"]
    return next(folder for folder in folders if folder.is_dir()) / "_base_" / "models" / name


def make_detector(given: dict[str, Any], weights: dict[str, np.ndarray]) -> torch.nn.Module:
    """The detector in training mode, with jld's weights; frozen layers are those of the config.

    Raises:
        ValueError: jld's weights are those of another detector.
    """
    register_all_modules()
    model = Config.fromfile(config_file(CONFIGS[given["detector"]])).model
    depth, channels, classes = (given[key] for key in ("student_depth", "head_channels", "num_classes"))
    width = given["base_channels"] * (1 if depth < 50 else 4)
    model.backbone.update(depth=depth, base_channels=given["base_channels"], init_cfg=None)
    model.neck.update(in_channels=[width * 2**stage for stage in range(4)], out_channels=channels)
    model.rpn_head.update(in_channels=channels, feat_channels=channels)
    model.roi_head.bbox_roi_extractor.out_channels = channels
    model.roi_head.bbox_head.update(in_channels=channels, num_classes=classes)
    if given["detector"] == "mask_rcnn":
        model.roi_head.mask_roi_extractor.out_channels = channels
        model.roi_head.mask_head.update(in_channels=channels, conv_out_channels=channels, num_classes=classes)
    for section in (model.train_cfg.rpn, model.train_cfg.rcnn):
        section.sampler.type = "EvenSampler"
    detector = MODELS.build(model)
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    missing, left = detector.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or left:
        raise ValueError(f"mmDetection lacks {missing} of jld's weights, and has no use for {left}.")
    return detector.train()


class MMDetTasks(Tasks):
    """Steps of a detector without a teacher: whole ones as mmDetection takes them, and the same in stages."""

    def __init__(self, given: dict[str, Any]):
        about = {"mmdet": mmdet.__version__, "mmcv": mmcv.__version__, "differs": DIFFERS}
        super().__init__(given["device"], given["product_side"], about | {"training in": "float32"})
        parts = read_parts(given)
        self.batch = parts["batch"]
        self.memory_format = torch.channels_last if given["channels_last"] else torch.contiguous_format
        detector = make_detector(given, parts["student"])
        self.detector = detector.to(self.device, memory_format=self.memory_format)
        learning = [weight for weight in detector.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.SGD(learning, **OPTIMIZER)
        self.drawn: list[Any] = []
        self.staged = self._staged_step
        self.timed["step"] = self._step
        self.asked |= {"sampled": self._sampled, "losses": self._values}

    def _step(self) -> None:
        self._update(self.detector.loss(*self._on_device()), untimed)

    def _staged_step(self, run: Callable) -> None:
        self._update(self._staged_losses(run), run)

    def _update(self, losses: dict[str, Any], run: Callable) -> None:
        self.optimizer.zero_grad()
        run("backward", lambda: total(flat(losses).values()).backward())
        run("optimizer", self.optimizer.step)

    def _on_device(self) -> tuple[torch.Tensor, list[DetDataSample]]:
        images = torch.from_numpy(self.batch["images"]).to(self.device)
        samples = samples_of(self.batch, self.device)
        return images.contiguous(memory_format=self.memory_format), samples

    def _staged_losses(self, run: Callable) -> dict[str, Any]:
        """What `detector.loss` does, every stage through `run(name, function)`."""
        rpn, heads = self.detector.rpn_head, self.detector.roi_head
        images, samples = run("batch to device", self._on_device)
        metas, objects = ([getattr(each, name) for each in samples] for name in ("metainfo", "gt_instances"))
        regions = copy.deepcopy(objects)
        for each in regions:
            each.labels.zero_()
        features = run("features", lambda: self.detector.extract_feat(images))

        def first_look() -> tuple[Any, Any]:
            predicted = rpn(features)
            sizes = [x.shape[-2:] for x in predicted[0]]
            anchors, flags = rpn.get_anchors(sizes, metas, device=self.device)
            return predicted, rpn.get_targets(anchors, flags, regions, metas)

        predicted, wanted = run("RPN, its sample", first_look)
        limits = self.detector.train_cfg.rpn_proposal
        proposals = run(
            "proposals", lambda: rpn.predict_by_feat(*predicted, batch_img_metas=metas, cfg=limits)
        )
        self.drawn = run("sample of RoIs", lambda: self._draw(proposals, objects))
        rois = bbox2roi([each.priors for each in self.drawn])
        second = run("RoI head", lambda: heads._bbox_forward(features, rois))
        masks = None
        if heads.with_mask:
            positive = bbox2roi([each.pos_priors for each in self.drawn])
            masks = run("mask head", lambda: heads._mask_forward(features, positive))

        def losses() -> dict[str, Any]:
            with mock.patch.object(rpn, "get_targets", lambda *_, **__: wanted):  # they were found above
                found = rpn.loss_by_feat(*predicted, regions, metas)
            given = {"sampling_results": self.drawn, "rcnn_train_cfg": heads.train_cfg}
            scores = {name: second[name] for name in ("cls_score", "bbox_pred")}
            found |= heads.bbox_head.loss_and_target(**scores, rois=rois, **given)["loss_bbox"]
            if masks is not None:
                found |= heads.mask_head.loss_and_target(
                    masks["mask_preds"], batch_gt_instances=objects, **given
                )["loss_mask"]
            return found

        return run("task losses", losses)

    def _draw(self, proposals: list[InstanceData], objects: list[InstanceData]) -> list[Any]:
        heads, drawn = self.detector.roi_head, []
        for found, wanted in zip(proposals, objects):
            found.priors = found.pop("bboxes")
            assigned = heads.bbox_assigner.assign(found, wanted)
            drawn.append(heads.bbox_sampler.sample(assigned, found, wanted))
        return drawn

    @torch.no_grad()
    def _sampled(self) -> dict[str, int]:
        self._staged_losses(untimed)
        return {
            "RoIs": sum(len(each.priors) for each in self.drawn),
            "positive RoIs": sum(len(each.pos_priors) for each in self.drawn),
        }

    @torch.no_grad()
    def _values(self) -> dict[str, float]:
        """Of a whole step.

        Raises:
            ValueError: the same in stages is something else.
        """
        whole = flat(self.detector.loss(*self._on_device()))
        staged = flat(self._staged_losses(untimed))
        if not all(torch.allclose(whole[name], staged[name], rtol=1e-5) for name in whole):
            raise ValueError(f"losses in stages {staged} are not those of a whole step {whole}.")
        return {name: value.item() for name, value in whole.items()}


def flat(losses: dict[str, Any]) -> Losses:
    """{name: scalar}, as mmDetection's `parse_losses`: some come level by level, one has an axis."""
    found = {name: value for name, value in losses.items() if "loss" in name}
    return {
        name: sum(part.mean() for part in value) if isinstance(value, list) else value.mean()
        for name, value in found.items()
    }


def samples_of(batch: dict[str, np.ndarray], device: str) -> list[DetDataSample]:
    """What mmDetection's loader would make of jld's batch."""
    samples = []
    for image, real in enumerate(batch["box_mask"] > 0):
        height, width = (int(side) for side in batch["img_shapes"][image])
        shape = {"img_shape": (height, width), "pad_shape": (height, width), "ori_shape": (height, width)}
        objects = InstanceData(
            bboxes=torch.from_numpy(batch["boxes"][image][real]).to(device),
            labels=torch.from_numpy(batch["labels"][image][real].astype(np.int64)).to(device),
        )
        if "mask_bitmaps" in batch:
            objects.masks = BitmapMasks(batch["mask_bitmaps"][image][real], height, width)
        sample = DetDataSample(metainfo=shape | {"batch_input_shape": (height, width)})
        sample.gt_instances = objects
        samples.append(sample)
    return samples
