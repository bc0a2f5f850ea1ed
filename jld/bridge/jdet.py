"""jld's detectors, plain and distilled, as models of JDet: trained by its runner, on its datasets.

    from jld.bridge import jdet
    jdet.register()   # before JDet's runner builds its model

Then a config of JDet says `model = dict(type="jld.GFL", backbone=..., neck=..., distill=..., ...)` in jld's
words. The other way round, JDet's data under jld's runner, is `jld.data.jdet_dataset`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.config import prepare_config, to_plain
from jld.data import collate
from jld.data.jdet_dataset import jdet_sample
from jld.distill import build_distiller
from jld.distill.step import Step
from jld.errors import ConfigError, DataError
from jld.models import InputStatistics, build_detector
from jld.models.targets import Targets
from jld.registry import DETECTORS
from jld.toolchain import jittor as jt

PREFIX = "jld."


def register() -> list[str]:
    """Puts every detector of jld into JDet's registry of models, as `jld.<name>`; returns the new names.

    Raises:
        ConfigError: `jdet` is not on the Python path.
    """
    try:
        models = importlib.import_module("jdet.utils.registry").MODELS
    except ImportError as error:
        raise ConfigError(f"jld.bridge.jdet needs JDet on the Python path: {error}.") from error
    names = [f"{PREFIX}{name}" for name in DETECTORS.names()]
    new = [name for name in names if name not in models._modules]
    for name in new:
        models.register_module(name=name, module=partial(JDetModel, name.removeprefix(PREFIX)))
    return new


class JDetModel(jt.Module):
    """A detector of jld under JDet's contract: losses while training, detections otherwise.

    Args:
        kind: jld's name of the detector.
        distill: the section of a jld config, or None for the plain detector.
        normalisation: dict(mean, std, to_bgr) of the pipeline's Normalize, for teachers that were trained on
            other images; None: the teacher takes them as they are.
        seed: of what is drawn for an image.
        sections: the detector's own, such as backbone, neck and bbox_head.
    Raises:
        ConfigError: an unknown part or argument; or student and teacher cannot be distilled.
    """

    def __init__(
        self,
        kind: str,
        distill: Mapping[str, Any] | None = None,
        normalisation: Mapping[str, Any] | None = None,
        seed: int = 0,
        **sections: Any,
    ):
        super().__init__()
        # JDet's sections are of its own class.
        config = prepare_config(to_plain({"model": {"type": kind, **sections}, "distill": distill}))
        self.detector = build_detector(config, pretrained=True)
        if normalisation is not None:
            step = {"to_bgr": True, **normalisation, "type": "Normalize"}
            self.detector.normalisation = InputStatistics.from_config(
                {"dataset": {"train": {"transforms": [step]}}}
            )
        self.distiller = build_distiller(config.distill, self.detector)
        # Adapters learn with the student and are saved with it; the teacher's own weights are neither.
        for place, module in ({} if self.distiller is None else self.distiller.modules()).items():
            setattr(self, f"distill_{place.replace('.', '_')}", module)
        self.seed, self.steps = seed, 0

    def execute(self, images: jt.Var, targets: Sequence[Mapping[str, Any]]) -> Any:
        """JDet's call of a model.

        Args:
            images: [N, 3, H, W] normalised and padded.
            targets: N of JDet's dicts.
        Returns:
            While training {name: scalar}. Otherwise per image (corners [K, 8], scores [K], labels [K] from
            0), or for upright boxes dict(img_id, boxes [K, 4], scores, labels from 1), as JDet's datasets
            score them, in px of the original.
        Raises:
            DataError: in training, targets without labels.
        """
        if self.is_training() and not all("labels" in target for target in targets):
            raise DataError("JDet's targets have no labels to learn from: name another dataset.train.")
        pixels = np.asarray(images.numpy() if isinstance(images, jt.Var) else images)
        batch = collate(
            [jdet_sample(image, _arrays(each)) for image, each in zip(pixels, targets, strict=True)]
        )
        if not self.is_training():
            with jt.no_grad():
                trace = self.detector(jt.array(pixels), batch["img_shapes"])
                return [_result(found) for found in self.detector.detect(trace, batch)]
        images, boxes = jt.array(pixels), Targets.from_batch(batch, self.seed, self.steps)
        features = self.detector.features(images)
        trace = self.detector.predict(features, boxes)
        losses = dict(self.detector.losses(trace, boxes))
        if self.distiller is not None:
            losses |= self.distiller(Step(images, boxes, self.detector, features, trace, self.steps))
        self.steps += 1
        return losses


def _arrays(target: Mapping[str, Any]) -> dict[str, Any]:
    """A target with NumPy arrays where JDet's loader made Vars."""
    return {key: value.numpy() if isinstance(value, jt.Var) else value for key, value in target.items()}


def _result(found: Detections) -> Any:
    if found.boxes is None:
        return found.corners().astype(np.float32), found.scores, found.labels
    # COCODataset.save_results takes 1 from labels, the datasets of rotated boxes add 1 to them.
    return {"img_id": found.img_id, "boxes": found.boxes, "scores": found.scores, "labels": found.labels + 1}
