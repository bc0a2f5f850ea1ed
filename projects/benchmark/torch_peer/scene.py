"""What is measured: student, teacher and batch, read from the file that jld wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .assignment import Priors, Targets, make_priors
from .networks import STRIDES, Detector, load_state


@dataclass
class Scene:
    """Models and one batch.

    Attributes:
        student, teacher: on the device, in evaluation mode: normalisation by running statistics, whose weight
            and bias still learn in the student. The teacher is None where the file has none.
        batch: NumPy arrays as jld's loader makes them.
        images: [N, 3, H, W] on the host, pinned for a GPU as a loader would do.
        device: "cpu" or "cuda".
        memory_format: of images and weights.
        half: type that training steps autocast to, or None.
        product_side: rows of the square matrices whose product is measured.
    """

    student: Detector
    teacher: Detector | None
    batch: dict[str, np.ndarray]
    images: torch.Tensor
    device: str
    memory_format: torch.memory_format
    half: torch.dtype | None
    product_side: int

    def images_on_device(self) -> torch.Tensor:
        """The images, copied to the device."""
        images = self.images.to(self.device, non_blocking=True)
        return images.contiguous(memory_format=self.memory_format)

    def targets(self) -> Targets:
        """The objects, copied to the device."""
        boxes, labels, mask, pads = (
            torch.from_numpy(self.batch[key]).to(self.device)
            for key in ("boxes", "labels", "box_mask", "pad_shapes")
        )
        return Targets(boxes, labels.long(), mask > 0, pads)

    def priors(self) -> Priors:
        """Made once per image size."""
        return make_priors(*self.images.shape[2:], STRIDES, self.device)


def read_parts(given: dict[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """{part: {name: array}} of the file that jld wrote."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    with np.load(given["scene"]) as file:
        for key in file.files:
            part, name = key.split("/", 1)
            parts.setdefault(part, {})[name] = file[key]
    return parts


def read_scene(given: dict[str, Any]) -> Scene:
    """The scene of what the program was told, see `__main__`; compiled networks are compiled at first use.

    Raises:
        ValueError: the file's weights are those of other networks.
    """
    device = given["device"]
    memory_format = torch.channels_last if given["channels_last"] else torch.contiguous_format
    parts = read_parts(given)

    def detector(part: str) -> Detector:
        sizes = (given["base_channels"], given["head_channels"], given["num_classes"])
        made = Detector(given[f"{part}_depth"], *sizes)
        if given["compiled"]:
            made.compile(dynamic=False)
        load_state(made, {name: torch.from_numpy(array) for name, array in parts[part].items()})
        return made.to(device, memory_format=memory_format).eval()

    images = torch.from_numpy(parts["batch"]["images"])
    return Scene(
        detector("student"),
        detector("teacher").requires_grad_(False) if "teacher" in parts else None,
        parts["batch"],
        images.pin_memory() if device == "cuda" else images,
        device,
        memory_format,
        half_type(given),
        given["product_side"],
    )


def half_type(given: dict[str, Any]) -> torch.dtype | None:
    """What training steps autocast to: jld's half precision, on a GPU only."""
    is_half = given["device"] == "cuda" and given["precision"] != "float32"
    return getattr(torch, given["precision"]) if is_half else None
