"""Trains a config in several precisions from the same weights and batches; see README.md beside."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from jld.apis.comparison_options import add_run_flags
from jld.apis.program import program

CONTROL = "control"
PRECISIONS = ("float32", "bfloat16", "float16")
# The same arithmetic in another order: how far apart do two trainings in float32 end?
CONTROL_ENVIRONMENT = {"JLD_WINOGRAD": "0", "NVIDIA_TF32_OVERRIDE": "0"}
PANELS = ("total_loss", "loss_bbox", "loss_cls")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default=str(ROOT / "configs/quick_start/gfl_student.py"), metavar="FILE")
    parser.add_argument(
        "--precisions", nargs="+", choices=(*PRECISIONS, CONTROL), default=[*PRECISIONS, CONTROL],
        help=f"default: all; {CONTROL}: float32 by other kernels, as a measure of chance",
    )  # fmt: skip
    parser.add_argument("--epochs", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work_dir", default="work_dirs/mixed_precision")
    add_run_flags(parser)
    parser.add_argument("--only", help=argparse.SUPPRESS)  # one of the runs, in this process
    return parser.parse_args()


@program
def main() -> int:
    """Trains what is not trained yet, compares all; returns the exit code."""
    options = parse()
    if options.only:
        train(options)
        return 0
    work_dir = Path(options.work_dir)
    for number, name in enumerate(options.precisions, 1):
        if (work_dir / name / "result.json").is_file():
            print(f"already trained: {work_dir / name}", flush=True)
            continue
        print(f"run {number} of {len(options.precisions)}: {name}", flush=True)
        # A process each, for a peak of memory each.
        environment = os.environ | (CONTROL_ENVIRONMENT if name == CONTROL else {})
        command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
        code = subprocess.run(command, env=environment, check=False).returncode
        if code:
            return code
    print(compare(work_dir, options.precisions))
    return 0


def train(options: argparse.Namespace) -> None:
    """One run; a killed one goes on where it was. Writes `result.json`."""
    from jld.apis import register_parts, use_device
    from jld.checkpoint import atomic_write
    from jld.config import prepare_config
    from jld.runner import Runner
    from jld.toolchain import jittor as jt
    from projects.benchmark.clock import device_memory_mib, peak_memory_mib

    register_parts()
    use_device("cpu" if options.no_cuda else "auto")
    folder = Path(options.work_dir) / options.only
    own = {
        "precision": "float32" if options.only == CONTROL else options.only,
        "max_epoch": options.epochs,
        "eval_interval": 0,
        "log_interval": 10,
        "seed": options.seed,
        "work_dir": folder,
    }
    overrides = [*options.opts, *(f"{key}={value}" for key, value in own.items())]
    metrics = Runner(prepare_config(options.config, overrides), resume=True).run("train")
    device = "GPU" if jt.flags.use_cuda else "CPU"
    memory = device_memory_mib() or {"peak memory, MiB": peak_memory_mib()}
    result = json.dumps({"metrics": metrics, "device": device, "memory": memory}, indent=1)
    # Its existence says that the run is finished.
    atomic_write(folder / "result.json", lambda stream: stream.write(result.encode()))


def compare(work_dir: Path, names: list[str]) -> str:
    """The table of all runs in Markdown; writes `table.md` and `curves.png`.

    Raises:
        DataError: a run has no log.
    """
    from jld.visualization import canvas, curves

    logs = {name: curves.read_log(work_dir / name) for name in names}
    results = [json.loads((work_dir / name / "result.json").read_text(encoding="utf-8")) for name in names]
    losses = [curves.curve(records, "total_loss") for records in logs.values()]
    steps = losses[0][0].astype(int)
    rows = [
        [f"total loss, steps {steps[place] - 9} to {steps[place]}", *(f"{y[place]:.4f}" for _, y in losses)]
        for place in shown(len(steps))
    ]
    for score in ("AP", "AP50", "AP75"):
        rows.append([score, *(f"{100 * result['metrics'][score]:.1f}" for result in results)])
    rows.append(["skipped steps", *map(skipped, logs.values())])
    memory = next(iter(results[0]["memory"]))
    rows.append([memory, *(f"{result['memory'][memory]:.0f}" for result in results)])
    rows.append([f"images/s on the {results[0]['device']}", *(f"{speed(log):.1f}" for log in logs.values())])
    lines = [["", *names], ["---"] * (len(names) + 1), *rows]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    (work_dir / "table.md").write_text(table + "\n", encoding="utf-8")
    keys = [key for key in PANELS if any(key in record for record in logs[names[0]])]
    canvas.write_image(work_dir / "curves.png", curves.draw_curves(logs, keys, smoothing=1))
    return f"{table}\n\npicture: {work_dir / 'curves.png'}"


def shown(count: int) -> list[int]:
    """At most seven of the logged points, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, 7).round().astype(int)).tolist()


def skipped(records: list[Mapping[str, Any]]) -> str:
    """How many steps the loss scale left out; "-" without one."""
    counts = [record["optimizer/skipped_steps"] for record in records if "optimizer/skipped_steps" in record]
    return f"{counts[-1]:.0f}" if counts else "-"


def speed(records: list[Mapping[str, Any]]) -> float:
    """Median over the log of images per second."""
    speeds = [record["images_per_second"] for record in records if "images_per_second" in record]
    return float(np.median(speeds))


if __name__ == "__main__":
    sys.exit(main())
