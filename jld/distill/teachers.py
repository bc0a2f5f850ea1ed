"""Teachers: what turns a batch into the trace the student should copy.

A teacher is never part of the student's module tree, so it is in no parameter list and no checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jld.config import load_config
from jld.errors import ConfigError
from jld.models import build_detector, load_weights
from jld.registry import TEACHERS
from jld.toolchain import jittor as jt


@dataclass(frozen=True)
class InputStatistics:
    """How images were normalised: (pixel - mean) / std per channel.

    Attributes:
        mean, std: three numbers, in the channel order of the tensor.
        is_rgb: channel order of the tensor.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    is_rgb: bool

    @classmethod
    def from_config(cls, config: Any) -> InputStatistics | None:
        """The Normalize step of the first pipeline in `dataset`, or None when there is none."""
        dataset = config.get("dataset") or {}
        for split in ("train", "val", "test"):
            for step in (dataset.get(split) or {}).get("transforms") or ():
                if step.get("type") == "Normalize":
                    is_rgb = bool(step.get("to_rgb", step.get("to_bgr", True)))
                    return cls(tuple(map(float, step["mean"])), tuple(map(float, step["std"])), is_rgb)
        return None


@TEACHERS.register
class FrozenTeacher:
    """A trained detector that never changes: evaluation mode, no gradient.

    Args:
        config: path of the teacher's config file, or the config itself; only `model` is built.
        checkpoint: its weights (.pth, .pkl, .safetensors); None keeps the initial ones (for tests).
        input_statistics: `own` re-normalises the student's input where the teacher's config normalises
            differently; `student` feeds the student's tensor as it is, as the released code does.
    Raises:
        ConfigError: unknown `input_statistics`; the config has no model.
        CheckpointError: the weights do not fit.
    """

    def __init__(
        self,
        config: Any,
        checkpoint: str | None = None,
        *,
        input_statistics: str = "own",
    ):
        if input_statistics not in ("own", "student"):
            raise ConfigError(
                f"FrozenTeacher: input_statistics is {input_statistics!r}; use 'own' or 'student'."
            )
        config = load_config(config) if isinstance(config, str | Path) else config
        # The file's weights replace everything, so an ImageNet file is not asked for.
        detector = build_detector(config, pretrained=checkpoint is None)
        if checkpoint is not None:
            load_weights(detector, checkpoint, what="teacher.checkpoint")
        detector.eval()
        for parameter in detector.parameters():
            parameter.stop_grad()
        # Inside a tuple Jittor's module traversal does not find it, whoever holds the teacher.
        self._hidden = (detector,)
        self._statistics = InputStatistics.from_config(config) if input_statistics == "own" else None

    @property
    def detector(self) -> Any:
        """The teacher's detector."""
        return self._hidden[0]

    def __call__(
        self, images, student_trace: Any, batch_shapes: Any, student_statistics: InputStatistics | None
    ):
        """The teacher's trace on the student's batch.

        Args:
            images: [N, 3, H, W] as the student sees them.
            student_trace: unused here; label-guided teachers read it.
            batch_shapes: [N, 2] numpy (h, w) of the unpadded images, so that padding stays zero.
            student_statistics: how `images` were normalised, or None when unknown.
        """
        with jt.no_grad():
            images = renormalise(images, batch_shapes, student_statistics, self._statistics)
            return self.detector(images)


def renormalise(images, image_shapes, given: InputStatistics | None, wanted: InputStatistics | None):
    """[N, 3, H, W] images normalised with `given` as if `wanted` had been used; padding stays zero."""
    if given is None or wanted is None or given == wanted:
        return images
    mean, std = jt.array(given.mean).reshape(1, 3, 1, 1), jt.array(given.std).reshape(1, 3, 1, 1)
    pixels = images * std + mean
    if given.is_rgb != wanted.is_rgb:
        pixels = pixels[:, [2, 1, 0]]
    mean, std = jt.array(wanted.mean).reshape(1, 3, 1, 1), jt.array(wanted.std).reshape(1, 3, 1, 1)
    shapes = jt.array(image_shapes).float32()  # [N, 2]
    rows = jt.arange(images.shape[2]).reshape(1, 1, -1, 1) < shapes[:, 0].reshape(-1, 1, 1, 1)
    columns = jt.arange(images.shape[3]).reshape(1, 1, 1, -1) < shapes[:, 1].reshape(-1, 1, 1, 1)
    return (pixels - mean) / std * (rows.float32() * columns.float32())
