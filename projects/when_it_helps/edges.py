"""Where the quick start's gains come from: which edges, which strictness of AP; see README.md."""

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
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


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


def edge_scores(truth, folders: list[dict[str, Path]]) -> dict:
    """{(run, kind of edge): minus its mean error, of every seed}, over what all runs of a seed find: who
    finds more hard objects would have greater errors otherwise.

    Args:
        truth: what the runs were scored on.
        folders: {run: its folder}, per seed.
    """
    from jld.apis.comparison import DETECTIONS

    unclear = truth.dataset.unclear_edges()
    scores: dict = {}
    for own in folders:
        errors = {
            name: edge_errors(truth.found(folder / DETECTIONS), truth.truths) for name, folder in own.items()
        }
        is_found = [~np.isnan(np.stack(each)).any(0) for each in zip(*errors.values(), strict=True)]
        for kind, chosen in zip(KINDS, ([~edges for edges in unclear], unclear), strict=True):
            counts = [edges & found for edges, found in zip(chosen, is_found, strict=True)]
            for name in own:
                scores.setdefault((name, kind), []).append(negative_mean(errors[name], counts))
    return scores


def precision_scores(truth, folders: list[dict[str, Path]]) -> dict:
    """{(run, "AP50"): of every seed} for all THRESHOLDS."""
    from jld.apis.comparison import DETECTIONS
    from jld.evaluation.significance import coco_score
    from jld.evaluation.voc import metric_name

    num_classes = len(truth.dataset.classes)
    return {
        (name, metric_name(threshold)): [
            coco_score(truth.found(own[name] / DETECTIONS), truth.truths, num_classes, [threshold])
            for own in folders
        ]
        for name in folders[0]
        for threshold in THRESHOLDS
    }


@program
def main() -> None:
    """Prints the tables and draws them."""
    options = parse()
    from jld.apis import register_parts
    from jld.apis.comparison import Truth, run_name
    from jld.apis.comparison_pictures import draw_gains
    from jld.config import prepare_config
    from jld.evaluation.significance import mean_and_deviation, paired_gain

    register_parts()
    work_dir, base = Path(options.work_dir), options.runs[0]
    truth = Truth(prepare_config(CONFIG, []), work_dir, {})
    folders = [{name: work_dir / run_name(name, seed) for name in options.runs} for seed in options.seeds]
    unclear, every = np.concatenate(truth.dataset.unclear_edges()), np.ones(len(truth.truths), np.int64)
    print(f"{len(unclear)} objects, {100 * unclear.mean():.0f} % of their edges are unclear")
    panels: dict = {}
    for text, sign, scores in (
        ("mean error in % of the side", -100, edge_scores(truth, folders)),
        ("AP at one IoU", 100, precision_scores(truth, folders)),
    ):
        print(f"{text}, and what is gained over {base}")
        gains = panels[text] = {}
        for (run, label), own in scores.items():
            gain = "" if run == base else paired_gain(own, scores[base, label], len(every))
            if gain:
                gains.setdefault(label, {})[run] = gain
            mean, deviation = mean_and_deviation([sign * score(every) for score in own])
            print(f"{run:24}{label:16}{mean:6.2f} ± {deviation or 0:.2f}   {gain}")
    print(f"figure: {draw_gains(panels, work_dir / 'edges.png', 'gain', columns=2)}")


if __name__ == "__main__":
    sys.exit(main())
