"""A detector from a config and a checkpoint, and its detections on images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image as Picture

from jld.apis.prediction import Prediction
from jld.apis.registration import register_parts
from jld.boxes.detections import Detections
from jld.checkpoint import Checkpoint
from jld.config import RUN_CONFIG, Config, find_config, load_config
from jld.config.teacher import CONFIG_SUFFIXES
from jld.data import Compose, collate
from jld.data.classes import class_names_of
from jld.data.images import ImageReader
from jld.data.transforms import finish_sample, new_sample
from jld.errors import ConfigError, one_of
from jld.models import Detector, InputStatistics, build_detector
from jld.models.normalisation import other_input
from jld.models.pretrained import assign_state
from jld.registry import build
from jld.runner.going_on import chosen_checkpoint, run_config
from jld.runner.state import evaluated_weights
from jld.toolchain import jittor as jt
from jld.utils.distributed import world_size
from jld.utils.logging import warn_once

DEVICES = ("auto", "cpu", "cuda")
Image = str | Path | np.ndarray | Picture


def init_detector(
    config: str | Path | Mapping[str, Any], checkpoint: str | Path | None = None, *, device: str = "auto"
) -> Detector:
    """A detector ready for `inference_detector`.

    Args:
        config: config file, the name of one, or dict; the folder of a run, whose best weights are taken; or a
            published checkpoint alone, which carries its config: a path, or one of jld's own below
            `configs/`, from anywhere.
        checkpoint: weights in any format `jld.checkpoint` reads, of a training state with an average of the
            weights that average; None keeps the initial ones (for tests),
            unless `config` is a checkpoint.
        device: "auto" (the GPU if there is one), "cpu" or "cuda"; it holds for the whole process.
    Returns:
        The detector in evaluation mode, with `config`, `classes` (names, maybe empty) and `pipeline` (the
        test transforms) as attributes.
    Raises:
        ConfigError: unknown device, or a config without model or test transforms, or whose test transforms
            normalise images otherwise than the training of the weights did.
        CheckpointError: unreadable weights, or weights of another model.
    Example:
        detector = init_detector("configs/gfl/gfl_r18_1x_coco.py", "weights.pth")
        found = inference_detector(detector, "street.jpg")
    """
    use_device(device)
    register_parts()
    loaded: Checkpoint | None
    if isinstance(config, str | Path) and (Path(config) / RUN_CONFIG).is_file():
        config = run_config(config)
        checkpoint = chosen_checkpoint(config, None if checkpoint is None else str(checkpoint))
    if isinstance(config, str | Path) and Path(config).suffix not in ("", *CONFIG_SUFFIXES):
        checkpoint = find_config(config) if checkpoint is None else checkpoint
        loaded, _ = evaluated_weights(checkpoint)
        if loaded.config is None:
            raise ConfigError(f"{checkpoint} does not carry its config: give the config file, too.")
        found = Config(loaded.config)
    else:
        loaded = None if checkpoint is None else evaluated_weights(checkpoint)[0]
        found = load_config(config) if isinstance(config, str | Path) else Config(config)
    detector = build_detector(found, pretrained=loaded is None)
    if loaded is not None:
        assign_state(detector, loaded.state, what=str(checkpoint))
    detector.eval()
    if loaded is not None and loaded.config is not None:
        detector.normalisation = InputStatistics.from_config(loaded.config)
    detector.config = found
    detector.classes = (loaded.classes if loaded else None) or class_names_of(found)
    detector.pipeline, detector.image_reader = _test_pipeline(found, detector), _test_reader(found)
    return detector


def inference_detector(
    detector: Detector, images: Image | Sequence[Image], *, batch_size: int = 1
) -> Prediction | list[Prediction]:
    """Detections on one image or on several.

    Args:
        detector: from `init_detector`.
        images: a path, an array or picture as `ImageReader.pixels` takes them, or a list of them; folders,
            films and more are for `jld.predict`.
        batch_size: images that go through the network together.
    Returns:
        `Prediction` (`Detections` with names and drawings) in px of the image, scores falling, whose img_id
        is the path, or the number in the list; a list of them for a list. `found["boxes"]`, `found["scores"]`
        and `found["labels"]` are its arrays.
    Raises:
        DataError: an image cannot be read or has another shape.
    """
    if isinstance(images, str | Path | np.ndarray | Picture):
        return _predictions(detector, [images], 1)[0]
    return _predictions(detector, images, batch_size)


def _predictions(detector: Detector, images: Sequence[Image], batch_size: int) -> list[Prediction]:
    found: list[Prediction] = []
    for start in range(0, len(images), batch_size):
        group = images[start : start + batch_size]
        pixels = [read_pixels(detector.image_reader, image) for image in group]
        names = [
            str(image) if isinstance(image, str | Path) else start + row for row, image in enumerate(group)
        ]
        detections = detect_pixels(detector, pixels, names)
        found += [
            Prediction.of(*each, detector=detector) for each in zip(detections, group, pixels, strict=True)
        ]
    return found


def read_pixels(reader: ImageReader, image: Image) -> np.ndarray:
    """[H, W, 3] uint8 BGR of a file, an array or a picture of Pillow."""
    return reader.read(image) if isinstance(image, str | Path) else reader.pixels(image)


def detect_pixels(
    detector: Detector, images: Sequence[np.ndarray], names: Sequence[int | str]
) -> list[Detections]:
    """Detections on one batch of images [H, W, 3] uint8 BGR; the names become their `img_id`."""
    # Test transforms draw nothing, but every transform is handed a generator.
    rng = np.random.default_rng(0)
    samples = [
        finish_sample(detector.pipeline(new_sample(image, img_id=name, img_file=str(name)), rng))
        for image, name in zip(images, names, strict=True)
    ]
    batch = collate(samples)
    with jt.no_grad():
        return detector.detect(detector(jt.array(batch["images"]), batch["img_shapes"]), batch)


def use_device(device: str) -> None:
    """Chooses where this process computes; the ranks of an `mpirun` do so on the CPU.

    Raises:
        ConfigError: unknown device, or "cuda" where Jittor found none or in one of several ranks.
    """
    one_of(device, DEVICES, f"unknown device {device!r}")
    if device == "cuda" and not jt.has_cuda:
        raise ConfigError(
            "device 'cuda' was asked for, but there is no usable GPU: run python tools/doctor.py."
        )
    is_rank = world_size() > 1
    if device == "cuda" and is_rank:
        raise ConfigError("device 'cuda' was asked for, but the ranks of an mpirun compute on the CPU.")
    if device == "auto" and is_rank and jt.has_cuda:
        warn_once("the ranks of an mpirun compute on the CPU; the GPU is left alone.")
    jt.flags.use_cuda = int(bool(jt.has_cuda) and device != "cpu" and not is_rank)


def _test_pipeline(config: Mapping[str, Any], detector: Detector) -> Compose:
    dataset = config.get("dataset") or {}
    for split in ("test", "val"):
        transforms = (dataset.get(split) or {}).get("transforms")
        if transforms:
            if problem := other_input(detector.normalisation, dataset[split]):
                raise ConfigError(f"dataset.{split}: {problem}")
            return Compose(build(transforms, path=f"dataset.{split}.transforms"))
    raise ConfigError(
        "the config has no dataset.test.transforms (or dataset.val.transforms) to prepare images with."
    )


def _test_reader(config: Mapping[str, Any]) -> ImageReader:
    dataset = config.get("dataset") or {}
    sections = [dataset.get(split) or {} for split in ("test", "val")]
    return ImageReader.of(next(filter(None, (section.get("image_reader") for section in sections)), None))
