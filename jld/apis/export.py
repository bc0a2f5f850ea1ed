"""A trained student as an ONNX file: `tools/export.py` and the same from Python."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jld.apis.arguments import ConfigParser
from jld.apis.complexity import image_size, without_pretrained
from jld.apis.inference import init_detector
from jld.apis.program import program
from jld.checkpoint import atomic_write
from jld.config import RUN_CONFIG, apply_overrides, load_config
from jld.data.transforms import Normalize, Pad, Resize
from jld.errors import ConfigError
from jld.export import ExportSettings, detections_only, session_of, to_onnx
from jld.export.check import check_export, normalised
from jld.models import Detector
from jld.runner.going_on import chosen_checkpoint, run_config
from jld.toolchain import jittor as jt
from jld.utils.extras import require
from jld.utils.logging import warn_once

WEIGHTS = (".safetensors", ".pkl", ".pth", ".pt")
EPILOG = """examples:
  %(prog)s CONFIG weights.pth --out student.onnx                  any image size, normalisation and NMS inside
  %(prog)s CONFIG weights.pth --out student.onnx --size 800x1333  one size
  %(prog)s student.safetensors --out student.onnx --time 10       a published checkpoint, which has its config
"""
MEANING = "an experiment's config: a file, or the name of one; the folder of a run; or a published checkpoint"


@program
def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, exports, checks and prints."""
    parser = ConfigParser(
        description="Write a detector as an ONNX file that finds the same boxes. CHECKPOINT: its weights; "
        "without them the initial ones, to try out.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        meaning=MEANING,
        further={"checkpoint": None},
    )
    add = parser.add_argument
    add("--out", required=True, metavar="FILE", help="the file to write, such as student.onnx")
    add("--size", metavar="HxW", help="height x width in px of the images (default: any)")
    add(
        "--float-input",
        action="store_true",
        help="take a normalised float32 [1, 3, H, W] instead of what OpenCV reads",
    )
    add("--no-nms", action="store_true", help="leave suppression to the program that runs the file")
    add("--time", type=int, default=0, metavar="N", help="run N times here and in ONNX Runtime, and compare")
    options = parser.parse_args(arguments)
    _run(options)


def _run(options: argparse.Namespace) -> None:
    settings = ExportSettings(
        size=image_size(options.size), raw_input=not options.float_input, suppress=not options.no_nms
    )
    config: Any = options.config_file
    if (Path(config) / RUN_CONFIG).is_file():
        options.checkpoint = chosen_checkpoint(run_config(config), options.checkpoint)
    if Path(config).suffix not in WEIGHTS:
        config = apply_overrides(load_config(config), options.opts)
        config = config if options.checkpoint else without_pretrained(config)
    detector = init_detector(config, options.checkpoint, device="cpu")
    worst = export_detector(detector, options.out, settings)
    megabytes = Path(options.out).stat().st_size / 1e6
    print(f"{options.out}: {megabytes:.1f} MB; largest differences from the detector:")
    print("\n".join(f"  {name:<14} {value:.1e}" for name, value in worst.items()))
    if options.time:
        print(time_export(detector, options.out, settings, options.time))


def export_detector(
    detector: Detector, path: str | Path, settings: ExportSettings | None = None
) -> dict[str, float]:
    """Writes a detector as an ONNX file, after comparing both on random images.

    Args:
        detector: from `init_detector`.
        path: of the file.
        settings: None: any size, normalisation and suppression inside. The padding is always that of the
            detector's own test pipeline.
    Returns:
        {name of an output: largest absolute difference}, see `check_export`.
    Raises:
        ConfigError: a package is missing, a part has no ONNX form, or the file would differ.
        CheckpointError: it cannot be written.
    """
    pad, resize = (_transform(detector, kind) for kind in (Pad, Resize))
    if pad is not None and pad.size_divisor is None:
        raise ConfigError("the test transforms pad to one size: use Pad(size_divisor=32) to export.")
    settings = replace(settings or ExportSettings(), size_divisor=pad.size_divisor if pad else 1)
    metadata: dict[str, Any] = {}
    if resize is not None:
        metadata["resize"] = resize_rule(resize)
    others = [step for step in detector.pipeline.transforms if not isinstance(step, Resize | Normalize | Pad)]
    if others:
        names = ", ".join(type(step).__name__ for step in others)
        warn_once(f"the test transforms {names} are not in the file: whoever runs it must apply them.")
    detector.eval()
    model = to_onnx(detector, settings, metadata)
    worst = check_export(detector, settings, session_of(model.SerializeToString()))
    kept = detections_only(model).SerializeToString()
    atomic_write(path, lambda file: file.write(kept))
    return worst


def resize_rule(resize: Resize) -> dict[str, Any]:
    """What a program must know to resize as a transform does, see `projects/deploy/detect.py`."""
    return {
        "short_side": max(resize.min_sizes),
        "long_side": max(resize.max_sizes),
        "keep_ratio": resize.keep_ratio,
        "max_zoom": getattr(resize, "max_zoom", None),
    }


def _transform(detector: Detector, kind: type) -> Any:
    found = [step for step in detector.pipeline.transforms if isinstance(step, kind)]
    return found[0] if found else None


def time_export(detector: Detector, path: str | Path, settings: ExportSettings, runs: int) -> str:
    """A table of milliseconds per image, from the array to detections, of ONNX Runtime and jld, in turn.

    Both get as many threads as they want; the image is random.
    """
    size = settings.size or (800, 1333)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    normal = normalised(pixels, detector)
    session = session_of(str(path))
    step = settings.size_divisor
    padded = np.pad(normal, ((0, 0), (0, 0), *((0, -side % step) for side in size)))
    batch = {
        "img_ids": [0],
        "img_shapes": np.array([size]),
        "scale_factors": np.ones((1, 4), np.float32),
        "ori_shapes": np.array([size]),
    }

    def jittor() -> None:
        with jt.no_grad():
            detector.detect(detector(jt.array(padded), batch["img_shapes"]), batch)

    image = pixels if settings.raw_input else normal
    version = require("onnxruntime", "export").__version__
    contenders = {
        f"ONNX Runtime {version}": lambda: session.run(None, {"image": image}),
        "jld": jittor,
    }
    medians = _medians(contenders, runs)
    lines = [f"{name:<22} {value:8.1f} ms per image" for name, value in medians.items()]
    return "\n".join([f"{size[0]}x{size[1]} px, median of {runs} runs, in turn", *lines])


def _medians(contenders: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for run in range(runs + 1):
        for name, function in contenders.items():
            start = time.perf_counter()
            function()
            if run:  # the first one compiles and allocates
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}
