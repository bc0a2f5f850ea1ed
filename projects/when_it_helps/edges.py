"""Errors of the quick start's students at edges that can be seen and at others; see README.md."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from jld.apis.program import program

CONFIG = str(ROOT / "configs/quick_start/noisy_gfl_student.py")
KINDS = ("clear edges", "unclear edges")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work_dir", nargs="?", default="work_dirs/quick_start", help="default: %(default)s")
    parser.add_argument("--runs", nargs="+", default=["student", "student_ld", "student_ld_imitation"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    return parser.parse_args()


def edge_errors(found: Sequence, truths: Sequence[dict], min_overlap: float = 0.5) -> list[np.ndarray]:
    """How far the best box of every object is off at each edge.

    Args:
        found: Detections per image.
        truths: ground truth per image.
        min_overlap: IoU from which a box of the object's class is the object's.
    Returns:
        per image [G, 4], shares of the object's width or height; NaN for objects that were not found.
    """
    from jld.boxes.overlaps import pairwise_overlaps

    errors = []
    for each, truth in zip(found, truths, strict=True):
        boxes = np.asarray(truth["boxes"], np.float64).reshape(-1, 4)
        own = np.full((len(boxes), 4), np.nan)
        if len(boxes) and len(each.boxes):
            overlaps = pairwise_overlaps(boxes, np.asarray(each.boxes, np.float64))
            overlaps = np.where(np.asarray(truth["labels"])[:, None] == each.labels[None], overlaps, 0)
            best = overlaps.argmax(1)
            is_found = overlaps.max(1) >= min_overlap
            sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
            own[is_found] = (np.abs(each.boxes[best] - boxes) / sides)[is_found]
        errors.append(own)
    return errors


def negative_mean(errors: Sequence[np.ndarray], counts: Sequence[np.ndarray]):
    """A score for `paired_gain`: minus the mean error of the edges that count, under image weights."""
    sums = np.array([error[count].sum() for error, count in zip(errors, counts, strict=True)])
    numbers = np.array([count.sum() for count in counts])
    return lambda weights: -float((weights * sums).sum() / (weights * numbers).sum())


@program
def main() -> None:
    """Prints the table."""
    options = parse()
    from jld.apis import register_parts
    from jld.apis.comparison import DETECTIONS, Truth, run_name
    from jld.config import prepare_config
    from jld.evaluation.significance import mean_and_deviation, paired_gain

    register_parts()
    truth = Truth(prepare_config(CONFIG, []), Path(options.work_dir), {})
    truths, unclear = truth.truths, truth.dataset.unclear_edges()
    scores = {(name, kind): [] for name in options.runs for kind in KINDS}
    for seed in options.seeds:
        folders = {name: Path(options.work_dir) / run_name(name, seed) for name in options.runs}
        errors = {
            name: edge_errors(truth.found(folder / DETECTIONS), truths) for name, folder in folders.items()
        }
        # Objects that all runs of the seed found: who finds more hard objects would have greater errors.
        is_found = [~np.isnan(np.stack(each)).any(0) for each in zip(*errors.values(), strict=True)]
        for kind, chosen in zip(KINDS, ([~edges for edges in unclear], unclear), strict=True):
            counts = [edges & found for edges, found in zip(chosen, is_found, strict=True)]
            for name in options.runs:
                scores[name, kind].append(negative_mean(errors[name], counts))
    every, base = np.ones(len(truths), np.int64), options.runs[0]
    shares = np.concatenate(unclear).mean()
    print(f"{len(np.concatenate(unclear))} objects, {100 * shares:.0f} % of their edges are unclear")
    print(f"mean error in % of the side, and by how much it is smaller than that of {base}")
    for (name, kind), own in scores.items():
        mean, deviation = mean_and_deviation([-100 * score(every) for score in own])
        gain = "" if name == base else str(paired_gain(own, scores[base, kind], len(truths)))
        print(f"{name:24}{kind:16}{mean:6.2f} ± {deviation or 0:.2f}   {gain}")


if __name__ == "__main__":
    sys.exit(main())
