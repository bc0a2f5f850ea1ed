"""Trains a plain and a label-guided student alike, and draws what the labels painted; see README.md."""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from jld.apis.comparison_options import add_flags, prepare
from jld.apis.program import program

PAIRS = [
    f"{scene}_{detector}" for scene in ("drawn", "bccd") for detector in ("gfl", "retinanet", "faster_rcnn")
]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pair", choices=PAIRS, help="images and detector")
    parser.add_argument("--data", default="data/bccd", help="of the blood cells; default: %(default)s")
    parser.add_argument("--plain", metavar="FILE", help="another config of the plain student")
    parser.add_argument("--guided", metavar="FILE", help="another config of its LGD twin")
    parser.add_argument("--num", type=int, default=4, help="images to draw; default: %(default)s")
    add_flags(parser, "work_dirs/lgd", (0, 1, 2))
    return parser.parse_args()


@program
def main() -> None:
    """Runs the comparison and draws."""
    options = parse()
    from jld.apis import Entry, compare

    work_dir = prepare(options, Path(options.work_dir) / options.pair)
    plain = options.plain or str(HERE / f"configs/{options.pair}_student.py")
    guided = options.guided or str(HERE / f"configs/lgd_{options.pair}_student.py")
    splits = ("train", "val", "test") if options.pair.startswith("bccd") else ()
    overrides = [*(f"dataset.{split}.root={options.data}" for split in splits), *options.opts]
    entries = [Entry("plain", plain), Entry("guided", guided, cost=2.0, gain_over="plain")]
    compare(entries, work_dir, seeds=options.seeds, overrides=overrides, metrics=["AP", "AP50", "AP75"])
    names = draw(guided, work_dir / f"guided_seed{options.seeds[0]}", overrides, options.num)
    print(f"pictures: {', '.join(names)}")


def draw(config_file: str, run: Path, overrides: list[str], count: int) -> list[str]:
    """Draws the maps of the first validation images that have objects, with what a finished run learned.

    Returns:
        Names of the files.
    """
    from jld.apis.distillation_pictures import pixels_of
    from jld.checkpoint import read_training_state
    from jld.config import prepare_config
    from jld.data import collate
    from jld.distill import build_distiller
    from jld.models import InputStatistics, Targets, assign_state, build_detector
    from jld.runner.parts import build_datasets
    from jld.runner.state import LAST, restore_modules
    from jld.toolchain import jittor as jt
    from jld.visualization.boxes import draw_boxes
    from jld.visualization.canvas import write_image

    config, path = prepare_config(config_file, overrides), run / "checkpoints" / LAST
    state = read_training_state(path)
    dataset = build_datasets(config.dataset, ("val",))[0]["val"]
    student = build_detector(config, pretrained=False)
    student.classes = tuple(dataset.classes)
    assign_state(student, state["model"], what=str(path))
    student.eval()
    distiller = build_distiller(config.distill, student)
    restore_modules(distiller, state, path)
    statistics, files = InputStatistics.from_config({"dataset": {"val": config.dataset.val}}), []
    random = np.random.default_rng(config.seed)
    samples = (dataset.get(index, random) for index in range(len(dataset)))
    for index, sample in enumerate(islice((each for each in samples if len(each["boxes"])), count)):
        batch = collate([sample])
        images, targets = jt.array(batch["images"]), Targets.from_batch(batch)
        with jt.no_grad():
            features = student.features(images)
            painted = distiller.teacher.paint(features, targets, tuple(images.shape[2:]))
        sides = [[x.numpy()[0] for x in maps] for maps in (features, painted)]
        image = draw_boxes(pixels_of(sample["image"], statistics), sample["boxes"], with_text=False)
        picture = draw_maps(image, *sides, student.interface.strides)
        files.append(str(write_image(run / f"maps_{index}.png", picture)))
    return files


def draw_maps(
    image: np.ndarray, student: list[np.ndarray], painted: list[np.ndarray], strides: tuple[int, ...]
) -> np.ndarray:
    """uint8 BGR picture: the image, and in a row per level the strength of the student's and the painted map.

    The strength of a cell is the root of the mean square over its channels; the two maps of a level share one
    scale of colours, which the bar beside them shows.

    Args:
        image: uint8 [H, W, 3] BGR.
        student, painted: [D, H_l, W_l] of every level.
        strides: px per cell of every level.
    """
    from jld.visualization.figures import figure_to_bgr, make_figure

    figure = make_figure(9.0, 3.0 * len(strides))
    axes = figure.subplots(len(strides), 3, squeeze=False)
    for row, stride, *maps in zip(axes, strides, student, painted, strict=True):
        row[0].imshow(image[..., ::-1])
        row[0].set_title(f"stride {stride} px", fontsize=9)
        strengths = [np.sqrt((each.astype(np.float64) ** 2).mean(0)) for each in maps]
        low, high = min(each.min() for each in strengths), max(each.max() for each in strengths)
        for axis, strength, name in zip(row[1:], strengths, ("student X", "painted Z"), strict=True):
            shown = axis.imshow(strength, cmap="viridis", vmin=low, vmax=high)
            axis.set_title(f"{name}, mean {strength.mean():.2f}", fontsize=9)
        figure.colorbar(shown, ax=list(row[1:]), shrink=0.8)
        for axis in row:
            axis.set_axis_off()
    return figure_to_bgr(figure)


if __name__ == "__main__":
    sys.exit(main())
