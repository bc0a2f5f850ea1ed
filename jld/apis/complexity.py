"""What a detector costs: parameters, multiply-adds and milliseconds, of a student beside its teacher.

Usage: jld complexity ld_gfl_r18_from_r101_1x_coco --size 800x1280 --time 5
"""

from __future__ import annotations

import argparse
import functools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from jld.apis.arguments import ConfigParser
from jld.apis.inference import use_device
from jld.apis.program import program
from jld.apis.registration import register_parts
from jld.config import Config, apply_overrides, load_config
from jld.errors import ConfigError
from jld.models import Detector, build_detector
from jld.models.operations import count_operations
from jld.toolchain import jittor as jt

# Arrays of a detector that do not learn, and that nobody counts as parameters.
STATISTICS = re.compile(r".*(running_mean|running_var|loss_normalizer)")
# The size that mmDetection's tables count at: 1280 wide, 800 high.
SIZE = "800x1280"


@dataclass(frozen=True)
class Complexity:
    """What one image costs.

    Attributes:
        parameters: numbers in the weights; frozen ones too, running statistics not.
        multiply_adds: {stage: number} of convolutions, linear layers and attention.
        milliseconds: {stage: median of the runs}; empty where nothing was run.
    """

    parameters: int
    multiply_adds: Mapping[str, float]
    milliseconds: Mapping[str, float] = field(default_factory=dict)


def complexity(detector: Detector, size: tuple[int, int], runs: int = 0) -> Complexity:
    """Counts, and with `runs` times, the stages of detection on one image.

    Args:
        size: (height, width) of the network's input in px, multiples of 32.
        runs: timed ones, after one that compiles; with 0 nothing is computed at all.
    """
    detector.eval()
    weights = detector.state_dict().items()
    parameters = sum(prod(var.shape) for name, var in weights if not STATISTICS.fullmatch(name))
    counted: dict[str, float] = {}

    def count(stage: str, function: Callable[[], Any]) -> Any:
        results: list[Any] = []
        counted[stage] = count_operations(lambda: results.append(function())).forward / 2
        return results[0]

    times: dict[str, list[float]] = {}

    def clock(stage: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = function()
        jt.sync_all(True)
        times.setdefault(stage, []).append(1e3 * (time.perf_counter() - start))
        return result

    batch = {
        "img_ids": [0],
        "img_shapes": np.array([size]),
        "ori_shapes": np.array([size]),
        "scale_factors": np.ones((1, 4), np.float32),
    }
    with jt.no_grad():
        _trace(detector, size, count)
        for _ in range(runs + 1 if runs else 0):
            trace = _trace(detector, size, clock)
            clock("selection", functools.partial(detector.detect, trace, batch))
    medians = {stage: float(np.median(values[1:])) for stage, values in times.items()}
    return Complexity(parameters, counted, medians)


def _trace(detector: Detector, size: tuple[int, int], run: Callable[[str, Callable[[], Any]], Any]) -> Any:
    """The trace of a random image, made by `run(stage, function)` stage by stage."""
    images = jt.array(np.random.default_rng(0).normal(size=(1, 3, *size)).astype(np.float32))
    maps = run("backbone", lambda: detector.backbone(images))
    features = run("neck", lambda: detector.neck(maps))
    return run("heads", lambda: detector.predict(features))


def without_pretrained(config: Config) -> Config:
    """The config with a backbone that asks for no ImageNet weights."""
    section = config.get("model") or {}
    if isinstance(section.get("backbone"), dict):
        section["backbone"].pop("pretrained", None)
    return config


def untrained(config: Config) -> Detector:
    """The detector of a config with initial weights; no file is read."""
    register_parts()
    return build_detector(without_pretrained(config))


def image_size(text: str | None) -> tuple[int, int] | None:
    """(height, width) in px of a text such as 800x1333; None of None.

    Raises:
        ConfigError: it is none.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)[x,](\d+)", text)
    if match is None or not min(map(int, match.groups())):
        raise ConfigError(f"--size {text}: write height and width in px, as 800x1333.")
    return int(match[1]), int(match[2])


@program
def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, counts and prints."""
    parser = ConfigParser(
        description="Count what a student and its teacher cost, with initial weights; no file is read.",
    )
    add = parser.add_argument
    add("--teacher", metavar="CONFIG", help="of the teacher (default: the config's own)")
    parser.add_argument("--size", metavar="HxW", default=SIZE, help=f"of the input (default: {SIZE})")
    parser.add_argument("--time", type=int, default=0, metavar="N", help="median time of N runs")
    add("--no_cuda", "--cpu", action="store_true", help="time the CPU even where a GPU is")
    options = parser.parse_args(arguments)
    use_device("cpu" if options.no_cuda else "auto")
    print(_report(options))


def _report(options: argparse.Namespace) -> str:
    size = image_size(options.size)
    assert size is not None  # it has a default
    if any(side % 32 for side in size):
        raise ConfigError(f"--size {options.size}: networks take multiples of 32, as {SIZE}.")
    student = apply_overrides(load_config(options.config_file), options.opts)
    configs = {"student": student, "teacher": _teacher_of(student, options.teacher)}
    found = {
        role: complexity(untrained(config), size, options.time)
        for role, config in configs.items()
        if config is not None
    }
    note = f"one image of {size[0]}x{size[1]} px; initial weights"
    return "\n".join([note, *_table(found)])


def _teacher_of(student: Config, named: str | None) -> Config | None:
    section = (student.get("distill") or {}).get("teacher") if named is None else {"config": named}
    section = {"config": section} if isinstance(section, str) else section
    config = section.get("config") if isinstance(section, Mapping) else None
    if config is None:
        return None
    return load_config(config) if isinstance(config, str) else Config(config)


def _table(found: Mapping[str, Complexity]) -> list[str]:
    """Rows of text, a column for every detector."""
    first = next(iter(found.values()))
    rows: list[tuple[str, list[float]]] = [
        ("parameters, M", [each.parameters / 1e6 for each in found.values()]),
        ("multiply-adds, G", [sum(each.multiply_adds.values()) / 1e9 for each in found.values()]),
        *(
            (f"  {stage}", [each.multiply_adds[stage] / 1e9 for each in found.values()])
            for stage in first.multiply_adds
        ),
    ]
    if first.milliseconds:
        rows.append(("ms per image", [sum(each.milliseconds.values()) for each in found.values()]))
        rows += [
            (f"  {stage}", [each.milliseconds[stage] for each in found.values()])
            for stage in first.milliseconds
        ]
    lines = [f"{'':<20}" + "".join(f"{role:>12}" for role in found)]
    return lines + [f"{name:<20}" + "".join(f"{value:>12.2f}" for value in values) for name, values in rows]
