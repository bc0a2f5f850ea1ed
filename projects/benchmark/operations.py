"""How fast two parts are: assignment with its regions, convolutions beside the library's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jld.models.operations import convolution_operations
from jld.models.targets import Targets
from jld.ops.conv2d import Conv2d
from jld.toolchain import jittor as jt
from projects.benchmark.clock import TIMING_COLUMNS, Timing, loaded_kernels, measure, peak_memory_mib
from projects.benchmark.core import assigning_by, finding_valuable
from projects.benchmark.report import Report
from projects.benchmark.scene import Settings, make_student, random_batch

OBJECT_COUNTS = (20, 100)


@dataclass(frozen=True)
class Convolution:
    """Shape of one convolution.

    Attributes:
        batch, in_channels, height, width: of its input.
        out_channels, kernel, stride: of the convolution; it is padded by kernel // 2.
    """

    batch: int
    in_channels: int
    height: int
    width: int
    out_channels: int
    kernel: int
    stride: int = 1

    def __str__(self) -> str:
        size = f"{self.batch}x{self.in_channels}x{self.height}x{self.width}"
        return f"{size} -> {self.out_channels}, {self.kernel}x{self.kernel} / {self.stride}"

    def operations(self) -> float:
        """Multiplications and additions of the forward pass."""
        outputs = self.batch, self.out_channels, self.height // self.stride, self.width // self.stride
        return convolution_operations(
            outputs, (self.out_channels, self.in_channels, self.kernel, self.kernel)
        )


# Stem, stages, lateral and tower convolutions of detectors at 512 x 512.
CONVOLUTIONS = (
    Convolution(2, 3, 512, 512, 64, 7, 2),
    Convolution(2, 64, 128, 128, 64, 3),
    Convolution(2, 128, 64, 64, 128, 3),
    Convolution(2, 256, 32, 32, 256, 3),
    Convolution(2, 512, 16, 16, 512, 3),
    Convolution(2, 256, 64, 64, 256, 3),
    Convolution(2, 256, 64, 64, 256, 1),
    Convolution(2, 64, 128, 128, 256, 1),
    Convolution(2, 1024, 32, 32, 256, 1),
)


def benchmark_assignment(settings: Settings, object_counts: Sequence[int] = OBJECT_COUNTS) -> Report:
    """ATSS and the valuable localization region, for several numbers of objects per image."""
    student = make_student(replace(settings, base_channels=8, head_channels=32))
    rows = []
    for count in object_counts:
        targets = Targets.from_batch(random_batch(replace(settings, boxes=count)))
        priors, assign = assigning_by(student, settings.height, settings.width, targets)
        find_region = finding_valuable(priors, targets, assign())
        # The assignment is computed once; what is timed is the region alone.
        jt.sync_all(True)
        region_timing = measure(find_region, settings.steps, settings.warmup)
        slots = f"{count} objects, {targets.mask.shape[1]} slots"
        rows += [
            (f"ATSS, {slots}", measure(assign, settings.steps, settings.warmup)),
            (f"VLR, {slots}", region_timing),
        ]
    facts = {"priors": len(priors), "kernels used": loaded_kernels(), "peak memory, MiB": peak_memory_mib()}
    title = f"assignment: batch {settings.size()}, {settings.steps} runs after {settings.warmup}"
    return Report(title, ("", *TIMING_COLUMNS), rows, facts)


def benchmark_convolutions(settings: Settings, shapes: Sequence[Convolution] = CONVOLUTIONS) -> Report:
    """The network's convolution and Jittor's own in turn: two rows per shape, forward and with gradients."""
    rows = []
    for shape in shapes:
        form = shape.in_channels, shape.out_channels, shape.kernel, shape.stride, shape.kernel // 2
        layers = {"jld": Conv2d(*form, bias=False), "library": jt.nn.Conv(*form, bias=False)}
        x = jt.randn((shape.batch, shape.in_channels, shape.height, shape.width))
        jt.sync_all(True)
        timings = [_measure_convolution(layer, x, settings) for layer in layers.values()]
        for name, (forward, both) in zip(layers, timings, strict=True):
            speed = shape.operations() / forward.cpu_median / 1e6
            ratios = [
                own.cpu_median / other.cpu_median
                for own, other in zip((forward, both), timings[1], strict=True)
            ]
            rows.append((f"{shape}, {name}", forward, speed, ratios[0], both, ratios[1]))
    columns = ("convolution", *TIMING_COLUMNS, "GFLOP/CPU s", "/ library")
    columns += ("with gradients ms", *TIMING_COLUMNS[1:], "/ library")
    return Report(f"convolutions, {settings.steps} runs after {settings.warmup}", columns, rows)


def _measure_convolution(layer: jt.Module, x: jt.Var, settings: Settings) -> tuple[Timing, Timing]:
    """Forward without a graph, and forward with both gradients."""

    def forward() -> Any:
        with jt.no_grad():
            return layer(x)

    def forward_backward() -> Any:
        y = layer(x)
        return jt.grad((y * y).sum(), [x, layer.weight])

    both = measure(forward_backward, settings.steps, settings.warmup)
    return measure(forward, settings.steps, settings.warmup), both
