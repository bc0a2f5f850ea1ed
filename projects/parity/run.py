"""Trains the same distilled student in jld and in the reference package and draws both loss curves.

Both start from the same weights, filled by formula, and see the same recorded batches. Without the reference
package only jld trains, and a sentence says what is missing. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "golden")]

import golden_fill as fill

from jld.apis.program import program

CONFIG = HERE / "configs" / "ld_gfl_student.py"
PANELS = ("total_loss", "loss_bbox", "loss_ld")


@program
def main() -> int:
    """Runs both sides; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", metavar="FOLDER", help="a checkout of HikariTJU/LD")
    parser.add_argument(
        "--reference-python",
        default=sys.executable,
        metavar="FILE",
        help="interpreter that has torch and mmcv",
    )
    parser.add_argument("--work_dir", default="work_dirs/parity", help="default: %(default)s")
    parser.add_argument("--no_cuda", action="store_true", help="run on the CPU where a GPU is usable")
    options = parser.parse_args()
    from jld.apis import register_parts, use_device
    from jld.config import prepare_config
    from jld.runner import Runner

    register_parts()
    use_device("cpu" if options.no_cuda else "auto")
    work_dir = Path(options.work_dir)
    overrides = [
        f"work_dir={work_dir / 'jld'}",
        f"pretrained_weights={work_dir / 'student.pth'}",
        f"distill.teacher.checkpoint={work_dir / 'teacher.pth'}",
    ]
    config = prepare_config(str(CONFIG), overrides)
    write_weights_by_formula(config, work_dir)
    record_batches(config, work_dir)
    Runner(config).run("train")
    command = [options.reference_python, str(HERE / "reference_training.py"), str(work_dir)]
    command += ["--reference", options.reference] if options.reference else []
    status = subprocess.run(command, check=False).returncode
    if status:
        from projects.parity.reference_training import NOT_HERE

        return 0 if status == NOT_HERE else status
    compare(work_dir)
    return 0


def write_weights_by_formula(config: Any, work_dir: Path) -> None:
    """`student.pth` and `teacher.pth` in mmDetection's layout, which both sides read."""
    from jld.checkpoint import write_weights
    from jld.config import load_config
    from jld.models import build_detector

    work_dir.mkdir(parents=True, exist_ok=True)
    for name, section in (("student", config), ("teacher", load_config(config.distill.teacher.config))):
        shapes = {key: var.shape for key, var in build_detector(section).state_dict().items()}
        state = {key: fill.param(key, shape, f"parity:{name}") for key, shape in shapes.items()}
        write_weights(work_dir / f"{name}.pth", state, layout="mmdet")


def record_batches(config: Any, work_dir: Path) -> None:
    """The batches of the run, in their order, as one file each, and the settings of the optimizer."""
    from jld.config import to_plain
    from jld.runner import parts

    datasets, _ = parts.build_datasets({"train": config.dataset.train}, ("train",))
    loader = parts.build_loader(config.dataset.train, datasets["train"], config.seed, is_training=True)
    names: list[str] = []
    while len(names) < config.max_iter:
        for batch in loader.epoch(len(names) // len(loader)):
            names.append(f"batch_{len(names)}.npz")
            np.savez(work_dir / names[-1], **reference_inputs(batch))
    settings = {
        "batches": names[: config.max_iter],
        "num_classes": len(datasets["train"].classes),
        "optimizer": to_plain(config.optimizer),
        "scheduler": to_plain(config.scheduler),
    }
    (work_dir / "settings.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")


def reference_inputs(batch: dict) -> dict[str, np.ndarray]:
    """A collated batch under the names of the golden cases, boxes without padding."""
    arrays = {"images": batch["images"]}
    for i, mask in enumerate(batch["box_mask"] > 0):
        if not mask.any():
            # The released distillation head stops at an image without objects.
            raise SystemExit("an image of the comparison has no object: choose another dataset.train.seed.")
        arrays[f"in/gt_bboxes/{i}"] = batch["boxes"][i][mask]
        arrays[f"in/gt_labels/{i}"] = batch["labels"][i][mask].astype(np.int64)
        for key in ("img_shape", "pad_shape"):
            arrays[f"in/{key}/{i}"] = np.array([*batch[f"{key}s"][i].astype(int), 3])
        arrays[f"in/scale_factor/{i}"] = batch["scale_factors"][i]
    return arrays


def compare(work_dir: Path) -> None:
    """Prints how far the two are apart, beside the reference from itself, and draws `curves.png`."""
    from jld.visualization import canvas, curves, montage

    ours = [record for record in curves.read_log(work_dir / "jld") if "total_loss" in record]
    theirs, control = (
        json.loads((work_dir / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("reference", "control")
    )
    names = [name for name in ours[0] if "loss" in name and name in theirs[0]]
    print("relative difference from the reference; control: the reference, pixels a millionth off")
    print(f"step  {'  '.join(f'{name:>12}' for name in names)}  control total   reference total")
    for mine, other, again in zip(ours, theirs, control, strict=True):
        gaps = "  ".join(f"{gap(mine, other, name):12.1e}" for name in names)
        print(
            f"{mine['iter']:4}  {gaps}  {gap(again, other, 'total_loss'):13.1e}   {other['total_loss']:15.4f}"
        )
    print_distances(work_dir)
    runs = {"reference (PyTorch)": theirs, "jld (Jittor)": ours}
    above = curves.draw_curves(runs, [name for name in PANELS if name in names], smoothing=1)
    gaps = {
        "jld": [abs(gap(*pair, "total_loss")) for pair in zip(ours, theirs, strict=True)],
        "reference, pixels a millionth off": [
            abs(gap(*pair, "total_loss")) for pair in zip(control, theirs, strict=True)
        ],
    }
    picture = montage.stack([above, draw_gaps(gaps)])
    print(f"picture: {canvas.write_image(work_dir / 'curves.png', picture)}")


def gap(record: dict, reference: dict, name: str) -> float:
    """(record - reference) / reference of one loss."""
    return (record[name] - reference[name]) / reference[name]


def draw_gaps(gaps: dict[str, list[float]]) -> np.ndarray:
    """uint8 BGR: how rounding differences grow over the steps, on a logarithmic scale."""
    from jld.visualization import figures

    figure = figures.make_figure(13.8, 2.6)
    axis = figure.subplots()
    for (name, values), color in zip(gaps.items(), figures.LINE_COLORS[1:], strict=False):
        axis.semilogy(range(1, len(values) + 1), values, color=color, linewidth=1.6, label=name)
    figures.style_axes(axis)
    axis.set_title("relative difference of total_loss from the reference", fontsize=10)
    axis.legend(frameon=False, fontsize=9)
    return figures.figure_to_bgr(figure)


def print_distances(work_dir: Path) -> None:
    """How far final weights lie from the reference's, measured by the way that training has moved those."""
    from jld.checkpoint import convert_state, read_checkpoint

    files = {
        "jld": "jld/checkpoints/last.pkl",
        "control": "control_weights.pth",
        "start": "student.pth",
        "reference": "reference_weights.pth",
    }
    states = {name: read_checkpoint(work_dir / file).state for name, file in files.items()}
    shapes = {name: values.shape for name, values in states["jld"].items()}
    states = {name: convert_state(state, shapes)[0] for name, state in states.items()}
    distance = {
        name: sum(np.square(state[key].astype(np.float64) - states["reference"][key]).sum() for key in shapes)
        ** 0.5
        for name, state in states.items()
    }
    for name in ("jld", "control"):
        share = distance[name] / distance["start"]
        print(f"final weights of {name}: {distance[name]:.1e} from the reference's, {share:.1e} of their way")


if __name__ == "__main__":
    sys.exit(main())
