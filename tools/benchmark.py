"""Measures jld on this machine: python tools/benchmark.py --what train

The numbers of docs/performance.md come from this program. Other work on the machine shows up in them: look
at the load and the quartiles before believing a median.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.program import program

WHAT = ("train", "networks", "inference", "assign", "conv", "scores", "rois", "rotated", "methods")
# As `TITLES` of projects/benchmark/scene.py, which would load Jittor; the last ones are trained only.
DETECTORS = ("gfl", "rotated", "faster_rcnn", "mask_rcnn", "lgd_retinanet")
TRAINED_ONLY = DETECTORS[2:]
WITHOUT_PEER = ("rotated",)
# As `NEEDS` of projects/benchmark/peer.py.
PEER_LIBRARIES = ("mmdet", "torchvision")
# Sizes other than those of `Settings`, unless the command line says otherwise: of COCO training; of the pair
# with the most published rows, on small images.
SIZES = {
    "assign": {"height": 800, "width": 1344},
    "methods": {"height": 256, "width": 256, "student_depth": 50, "teacher_depth": 101},
}
# As in jld.ops.precision, which would load Jittor.
PRECISIONS = ("float32", "bfloat16", "float16")


def parser() -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = made.add_argument
    add(
        "--what", choices=WHAT, default="train",
        help="train: a training step, whole and in stages, beside PyTorch's; inference: detection on an "
        "image, beside PyTorch's; networks: forward and backward without losses, beside PyTorch's; assign: "
        "ATSS and the VLR region; conv: convolution shapes; scores: COCO's by pycocotools and hotcoco; rois: "
        "RoIAlign and suppression of proposals, beside mmcv's or torchvision's; rotated: overlaps, "
        "suppression, splitting, merging and evaluation of rotated boxes beside loops and public tools; "
        "methods: a training step of GFL with the terms of each distillation method beside the plain step",
    )  # fmt: skip
    add(
        "--detector", choices=DETECTORS,
        help="of train: gfl (default) and rotated distil from a teacher, lgd_retinanet from labels, "
        "faster_rcnn and mask_rcnn are plain; beside PyTorch, but for rotated (the plain ones mmDetection's "
        "or torchvision's)",
    )  # fmt: skip
    add(
        "--precision", choices=PRECISIONS,
        help="of train: of convolutions, default float32; PyTorch on cuda: autocast",
    )  # fmt: skip
    add("--methods", nargs="+", metavar="NAME", help="methods: these alone, such as LD CrossKD PKD")
    add("--height", type=int, help="px, default 512 (assign: 800, methods: 256)")
    add("--width", type=int, help="px, default 512 (assign: 1344, methods: 256)")
    add("--batch", type=int, help="images per step, default 2")
    add("--boxes", type=int, help="objects per image, default 8")
    add("--num-classes", type=int, help="default 80")
    add("--student-depth", type=int, help="ResNet depth, default 18 (methods: 50)")
    add("--teacher-depth", type=int, help="ResNet depth, default 34 (methods: 101)")
    add("--base-channels", type=int, help="width of the stems, default 64")
    add("--head-channels", type=int, help="width of neck and head, default 256")
    add("--steps", type=int, help="measured repetitions, default 10")
    add("--warmup", type=int, help="repetitions before them, default 3")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    _add_peer_flags(add)
    add(
        "--shared", action="store_true",
        help="train, inference: measure once more while a busy loop runs on every core",
    )  # fmt: skip
    add(
        "--cold",
        nargs="*",
        choices=DETECTORS,
        help="train: time import and first step in an empty kernel cache (minutes), of several in turn",
    )
    add("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    return made


def _add_peer_flags(add: Callable) -> None:
    """With whom jld is compared."""
    add(
        "--peer-python",
        default=sys.executable,
        help="interpreter that has torch (torchvision; mmdet and mmcv), to compare",
    )
    add(
        "--peer-library", choices=PEER_LIBRARIES,
        help="of faster_rcnn, mask_rcnn and rois: whose code the peer is; default: the first one that "
        "interpreter has",
    )  # fmt: skip
    add("--devkit", type=Path, metavar="DIR", help="rotated: DOTA_devkit with its polyiou compiled")
    add("--mmrotate", type=Path, metavar="DIR", help="rotated: mmRotate 0.x, for its splitter")
    add("--no-peer", action="store_true", help="train, inference, networks, rois: jld alone")
    add(
        "--peer-compile", action="store_true",
        help="train of gfl, inference, networks: beside eager torch also torch with compiled networks",
    )  # fmt: skip
    add(
        "--peer-memory-format", choices=("contiguous", "channels_last"),
        help="of torch's images and weights; default channels_last on cuda, contiguous on cpu",
    )  # fmt: skip


@program
def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    options = parser().parse_args(arguments)
    if options.precision and options.what != "train":
        parser().error("--precision is for --what train: everything else computes in float32.")
    if options.methods and options.what != "methods":
        parser().error("--methods is for --what methods.")
    if options.what == "methods" and options.detector not in (None, "gfl"):
        parser().error("--what methods is for gfl, whose configs the methods' published rows are.")
    if options.detector in TRAINED_ONLY and options.what != "train":
        parser().error(f"--detector {options.detector} is for --what train.")
    if options.peer_compile and (options.what == "rois" or options.detector in TRAINED_ONLY):
        parser().error("--peer-compile is for gfl: torchvision's peers are measured as they are.")
    # Imported here: --help and a wrong flag should not wait for Jittor.
    from jld.apis import register_parts, use_device
    from projects.benchmark import machine_report, machine_text

    use_device(options.device)
    register_parts()
    machine = machine_report()
    print(machine_text(machine), flush=True)
    reports = []
    for report in run(options):
        print(f"\n{report.as_text()}", flush=True)
        reports.append(report.as_data())
    load_after = machine_report()["load"]
    print(f"\nload at the end  {load_after}")
    if options.json:
        data = {"machine": machine | {"load_after": load_after}, "reports": reports}
        options.json.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def run(options: argparse.Namespace) -> Any:
    """Yields the reports that the flags ask for."""
    from projects.benchmark import (
        BENCHMARKS,
        DUELS,
        PeerTools,
        benchmark_cold,
        benchmark_methods,
        benchmark_rotated,
    )

    settings = settings_of(options)
    if options.cold is not None:
        yield benchmark_cold(settings, options.cold, use_cuda=options.device == "cuda")
        return
    if options.what == "rotated":
        tools = PeerTools(options.peer_python, options.devkit, options.mmrotate)
        yield benchmark_rotated(settings, tools)
    elif options.what == "methods":
        yield benchmark_methods(settings, options.methods)
    elif options.what in DUELS:
        yield DUELS[options.what](settings, duel_of(options))
    else:
        yield BENCHMARKS[options.what](settings)


def duel_of(options: argparse.Namespace) -> Any:
    """With whom jld is compared, by the flags."""
    from projects.benchmark import Duel

    memory_format = options.peer_memory_format
    has_peer = not options.no_peer and options.detector not in WITHOUT_PEER
    return Duel(
        python=options.peer_python if has_peer else None,
        channels_last=None if memory_format is None else memory_format == "channels_last",
        shared=options.shared,
        compiled=options.peer_compile,
        library=options.peer_library,
    )


def settings_of(options: argparse.Namespace) -> Any:
    """The Settings of the flags that were given."""
    from projects.benchmark import Settings

    defaults = SIZES.get(options.what, {})
    names = [field.name for field in fields(Settings)]
    given = {name: defaults.get(name) for name in names}
    given |= {name: value for name in names if (value := getattr(options, name, None)) is not None}
    return Settings(**{name: value for name, value in given.items() if value is not None})


if __name__ == "__main__":
    sys.exit(main())
