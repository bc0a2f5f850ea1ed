"""Crops of boxes and suppression of proposals by mmcv's or torchvision's operators, on what jld wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .scene import read_parts
from .tasks import Tasks


def operators(library: str) -> tuple[dict[str, str], Callable, Callable]:
    """Whose; crops of (map, rows, size, scale); which of (boxes, scores, groups, threshold) are kept."""
    if library == "mmdet":
        import mmcv
        from mmcv.ops import batched_nms, roi_align

        return (
            {"mmcv": mmcv.__version__},
            lambda x, rows, size, scale: roi_align(x, rows, (size, size), scale, 0, "avg", True),
            lambda *boxes: batched_nms(*boxes[:3], {"type": "nms", "iou_threshold": boxes[3]})[1],
        )
    import torchvision
    from torchvision import ops

    return (
        {"torchvision": torchvision.__version__},
        lambda x, rows, size, scale: ops.roi_align(x, rows, size, scale, sampling_ratio=0, aligned=True),
        ops.batched_nms,
    )


class RoITasks(Tasks):
    """RoIAlign of a pyramid, forward and with its gradient, and suppression on every level."""

    def __init__(self, given: dict[str, Any]):
        about, self.roi_align, self.batched_nms = operators(given["library"])
        super().__init__(given["device"], given["product_side"], about)
        parts = read_parts(given)
        found = {key: torch.from_numpy(value).to(self.device) for key, value in parts["rois"].items()}
        self.maps = [torch.from_numpy(parts["maps"][key]).to(self.device) for key in sorted(parts["maps"])]
        self.strides, self.size, self.limits = given["strides"], given["size"], given["limits"]
        self.boxes, self.levels, self.weights = (found[key] for key in ("boxes", "levels", "weights"))
        self.proposals = [found[key] for key in ("proposals", "scores", "proposal_levels")]
        self.timed |= {
            "RoIAlign": self._without_gradient,
            "RoIAlign with gradient": self._gradients,
            "NMS of proposals": self._kept,
        }
        self.asked["results"] = self._results

    def _crops(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """[N, R, D, size, size]; every level crops its own boxes, as torchvision's detectors do."""
        n, r = self.levels.shape
        crops = maps[0].new_zeros(n * r, maps[0].shape[1], self.size, self.size)
        image = torch.arange(n, device=self.device).repeat_interleave(r)
        rows = torch.cat([image[:, None].float(), self.boxes.flatten(0, 1)], 1)
        for level, (x, stride) in enumerate(zip(maps, self.strides)):
            own = torch.where(self.levels.flatten() == level)[0]
            crops[own] = self.roi_align(x, rows[own], self.size, 1 / stride)
        return crops.unflatten(0, (n, r))

    @torch.no_grad()
    def _without_gradient(self) -> torch.Tensor:
        return self._crops(self.maps)

    def _gradients(self) -> tuple[torch.Tensor, ...]:
        maps = [x.clone().requires_grad_() for x in self.maps]
        return torch.autograd.grad((self._crops(maps) * self.weights).sum(), maps)

    def _kept(self) -> list[torch.Tensor]:
        threshold, count = self.limits
        return [self.batched_nms(*image, threshold)[:count] for image in zip(*self.proposals)]

    def _results(self, file: str) -> dict[str, Any]:
        arrays = {f"gradient/{level}": x.cpu().numpy() for level, x in enumerate(self._gradients())}
        arrays |= {f"kept/{image}": index.cpu().numpy() for image, index in enumerate(self._kept())}
        np.savez(file, crops=self._without_gradient().cpu().numpy(), **arrays)
        return {}
