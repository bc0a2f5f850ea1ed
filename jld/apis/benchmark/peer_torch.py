"""The networks of the training benchmark in PyTorch: ResNet, FPN and the GFL head, without losses.

Runs as a program of its own, with an interpreter that has torch and need not have jld:
    python peer_torch.py '{"height": 512, ...}'      the fields of `Settings` as JSON
It prints one JSON object {"version", "threads", "<name>": [[ms, ...], [CPU ms, ...]]}. What is frozen,
trained and normalised by running statistics is the same as in jld; batch normalisation stays a layer of its
own in the teacher, too.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

STAGE_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class Block(nn.Module):
    """Basic block (depth below 50) or bottleneck."""

    def __init__(self, inputs: int, channels: int, stride: int, is_deep: bool):
        super().__init__()
        outputs = channels * (4 if is_deep else 1)
        sizes = ((1, 1), (3, stride), (1, 1)) if is_deep else ((3, stride), (3, 1))
        widths = [inputs, channels, channels, outputs] if is_deep else [inputs, channels, outputs]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, k, s, k // 2, bias=False)
            for a, b, (k, s) in zip(widths, widths[1:], sizes, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, D, H, W] to [N, D', H / stride, W / stride]."""
        y = x
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y))
            if index + 1 < len(self.convs):
                y = functional.relu(y)
        return functional.relu(y + self.shortcut(x))


class Network(nn.Module):
    """Backbone, neck and head of one detector."""

    def __init__(self, depth: int, base: int, channels: int, num_classes: int, bins: int = 17):
        super().__init__()
        is_deep = depth >= 50
        self.stem = nn.Sequential(
            nn.Conv2d(3, base, 7, 2, 3, bias=False), nn.BatchNorm2d(base), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.stages, inputs = nn.ModuleList(), base
        for stage, count in enumerate(STAGE_BLOCKS[depth]):
            width, blocks = base * 2**stage, []
            for index in range(count):
                blocks.append(Block(inputs, width, 2 if stage and not index else 1, is_deep))
                inputs = width * (4 if is_deep else 1)
            self.stages.append(nn.Sequential(*blocks))
        outputs = [base * (4 if is_deep else 1) * 2**stage for stage in range(1, 4)]
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in outputs)
        self.outputs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, 2 if level > 2 else 1, 1) for level in range(5)
        )
        self.cls_tower, self.reg_tower = _tower(channels), _tower(channels)
        self.cls = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.reg = nn.Conv2d(channels, 4 * bins, 3, padding=1)
        self.scales = nn.Parameter(torch.ones(5))
        for part in (self.stem, self.stages[0]):
            part.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Class logits and box logits of all levels, each [N, P, ...] in one tensor."""
        x, maps = self.stages[0](self.stem(x)), []
        for stage in self.stages[1:]:
            x = stage(x)
            maps.append(x)
        maps = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        for level in (1, 0):
            maps[level] = maps[level] + functional.interpolate(maps[level + 1], maps[level].shape[2:])
        levels = [conv(x) for conv, x in zip(self.outputs, maps, strict=False)]
        for conv in self.outputs[3:]:
            levels.append(conv(levels[-1]))
        cls = [self.cls(self.cls_tower(x)) for x in levels]
        reg = [self.reg(self.reg_tower(x)) * scale for x, scale in zip(levels, self.scales, strict=True)]
        return [torch.cat([m.permute(0, 2, 3, 1).flatten(1, 2) for m in found], 1) for found in (cls, reg)]


def _tower(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(4):
        norm = nn.GroupNorm(min(32, channels // 4), channels)
        layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm, nn.ReLU()]
    return nn.Sequential(*layers)


def measure(
    function: Callable[[], Any], steps: int, warmup: int, device: str
) -> tuple[list[float], list[float]]:
    """Times and CPU times in ms, each to the end of the device's work."""
    times, cpu_times = [], []
    for step in range(warmup + steps):
        _wait(device)
        start, cpu_start = time.perf_counter(), time.process_time()
        function()
        _wait(device)
        if step >= warmup:
            times.append((time.perf_counter() - start) * 1e3)
            cpu_times.append((time.process_time() - cpu_start) * 1e3)
    return times, cpu_times


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main(text: str) -> None:
    """Measures what the JSON describes and prints the result."""
    given = json.loads(text)
    device, sizes = given["device"], (given["base_channels"], given["head_channels"], given["num_classes"])
    images = torch.randn(given["batch"], 3, given["height"], given["width"], device=device)
    # Evaluation mode: normalisation by running statistics, whose weight and bias still learn.
    student = Network(given["student_depth"], *sizes).to(device).eval()
    teacher = Network(given["teacher_depth"], *sizes).to(device).eval()
    params = [parameter for parameter in student.parameters() if parameter.requires_grad]

    def forward_backward() -> Any:
        return torch.autograd.grad(sum((x * x).mean() for x in student(images)), params)

    def teacher_forward() -> Any:
        with torch.no_grad():
            return teacher(images)

    count, warmup = given["steps"], given["warmup"]
    result = {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "student forward + backward": measure(forward_backward, count, warmup, device),
        "teacher forward": measure(teacher_forward, count, warmup, device),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
