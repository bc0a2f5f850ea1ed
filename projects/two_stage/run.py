"""Trains teacher, plain and distilled students of a detector with two stages and compares; see README.md."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from jld.apis.comparison_options import add_flags, prepare
from jld.apis.program import program

# {detector: scores that are compared}
SCORES = {"faster_rcnn": ["AP", "AP50", "AP75"], "mask_rcnn": ["AP", "segm_AP", "segm_AP75"]}
IMAGES, THRESHOLD = 6, 0.5
"""In the picture of masks, and what they score at least."""


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector", choices=SCORES, help="faster_rcnn on BCCD, mask_rcnn on drawn scenes")
    parser.add_argument("--data", default="data/bccd", help="of faster_rcnn; default: %(default)s")
    add_flags(parser, "work_dirs/two_stage", (0, 1, 2))
    return parser.parse_args()


@program
def main() -> None:
    """Runs the comparison."""
    options = parse()
    from jld.apis import Entry, compare
    from jld.apis.comparison import run_name
    from jld.config import prepare_config

    kind = options.detector
    work_dir = prepare(options, Path(options.work_dir) / kind)
    plain, distilled = (str(HERE / f"configs/{name}{kind}_student.py") for name in ("", "crosskdpkd_"))
    entries = [
        Entry("teacher", str(HERE / f"configs/{kind}_teacher.py"), seed=0, cost=0.9),
        Entry("student", plain, cost=0.3),
        Entry("distilled", distilled, taught_by="teacher", gain_over="student", cost=0.5),
    ]
    data = [f"dataset.{split}.root={options.data}" for split in ("train", "val", "test")]
    overrides = [*(data if kind == "faster_rcnn" else []), *options.opts]
    compare(entries, work_dir, seeds=options.seeds, overrides=overrides, metrics=SCORES[kind])
    if kind == "mask_rcnn":
        folders = {"teacher": work_dir / "teacher"}
        folders |= {name: work_dir / run_name(name, options.seeds[0]) for name in ("student", "distilled")}
        configs = {entry.name: prepare_config(entry.config, overrides) for entry in entries}
        print(f"masks: {draw_found(configs, folders, work_dir / 'masks.png')}")


def draw_found(configs: Mapping[str, Any], folders: Mapping[str, Path], path: Path) -> Path:
    """Draws the masks of the first validation images with several objects, a row of images for every run.

    Args:
        configs, folders: config and folder of every run.
        path: of the picture; the true masks are its first row.
    """
    from jld.apis import inference_detector, init_detector
    from jld.apis.comparison import LAST_CHECKPOINT, Truth
    from jld.visualization.canvas import enlarged, write_image
    from jld.visualization.masks import draw_masks
    from jld.visualization.montage import montage

    data = Truth.dataset_of(next(iter(configs.values())))
    truths = data.ground_truth()
    chosen = [index for index, truth in enumerate(truths) if len(truth["boxes"]) > 1][:IMAGES]
    images = [data.read_image(index) for index in chosen]
    cells = [
        draw_masks(image, truths[index]["masks"], truths[index]["labels"])
        for index, image in zip(chosen, images, strict=True)
    ]
    for name, folder in folders.items():
        detector = init_detector(configs[name], str(folder / LAST_CHECKPOINT))
        for image, found in zip(images, inference_detector(detector, images), strict=True):
            sure = found.select(THRESHOLD)
            cells.append(draw_masks(image, sure.masks, sure.labels, sure.scores))
    captions = [name for name in ("ground truth", *folders) for _ in images]
    cells = [enlarged(cell, side=192)[0] for cell in cells]
    return write_image(path, montage(cells, columns=len(images), captions=captions))


if __name__ == "__main__":
    sys.exit(main())
