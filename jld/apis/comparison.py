"""Several runs beside each other: a teacher, plain and distilled students; one table, one picture.

The quick start and the projects use it, so that every comparison trains, scores and draws in the same way.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jld.apis.comparison_pictures import draw_comparison, draw_gains
from jld.apis.inference import init_detector
from jld.boxes.detections import Detections
from jld.checkpoint import atomic_write
from jld.config import Config, prepare_config
from jld.data import Dataset
from jld.data.results import read_results, write_plain_results
from jld.evaluation.dota import DotaEvaluator
from jld.evaluation.significance import Gain, Score, coco_score, dota_score, paired_gain
from jld.evaluation.tables import format_seeds, write_metrics
from jld.runner import Runner, parts, tasks
from jld.runner.same_run import require_finished_run
from jld.utils.logging import get_logger
from jld.visualization import canvas

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
LAST_CHECKPOINT = "checkpoints/last.pkl"
DETECTIONS = "detections.json"
SAME_AP = 1e-6
GAIN = "gain in AP"
SCORES: dict[str, Callable[..., Score]] = {
    "COCO": coco_score,
    **{
        DotaEvaluator(metric=metric).protocol: partial(dota_score, metric=metric) for metric in ("07", "area")
    },
}


@dataclass(frozen=True)
class Entry:
    """One run of a comparison.

    Attributes:
        name: of its folder and its line in the table.
        config: path of its config file.
        taught_by: name of an earlier entry whose last checkpoint is its teacher, or None.
        cost: seconds of one of its training steps relative to the others', for the estimate of the time left.
        seed: of this run; None: there is one for every seed of the comparison.
        starts_from: name of an earlier entry from whose last checkpoint it goes on, or None.
        gain_over: name of the entry that its gain is counted from, or None.
        overrides: `key.path=value` for this entry.
    """

    name: str
    config: str
    taught_by: str | None = None
    cost: float = 1.0
    seed: int | None = None
    starts_from: str | None = None
    gain_over: str | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        results: {run name: metrics}.
        gains: {entry name: its gain in AP} of the entries with `gain_over`.
    """

    results: dict[str, Any]
    gains: dict[str, Gain]


def of_every_seed(entries: Sequence[Entry], seeds: Sequence[int]) -> list[Entry]:
    """Every run: an entry without a seed of its own becomes one of every seed, `<name>_seed<seed>`.

    Args:
        entries: in the order of training. What starts from or is taught by a repeated one takes the
            run of its own seed.
        seeds: of the repeated entries, which are trained seed by seed.
    """
    repeated = {entry.name for entry in entries if entry.seed is None}
    runs = [entry for entry in entries if entry.seed is not None]
    for seed in seeds:

        def own(name: str | None, seed: int = seed) -> str | None:
            return run_name(name, seed) if name in repeated else name

        runs += [
            replace(
                entry,
                name=run_name(entry.name, seed),
                seed=seed,
                taught_by=own(entry.taught_by),
                starts_from=own(entry.starts_from),
            )
            for entry in entries
            if entry.seed is None
        ]
    return runs


def run_name(name: str, seed: int) -> str:
    """Folder of one seed's run of an entry."""
    return f"{name}_seed{seed}"


def compare(
    entries: Sequence[Entry],
    work_dir: str | Path,
    *,
    seeds: Sequence[int] = (0,),
    overrides: Sequence[str] = (),
    metrics: Sequence[str] = METRICS,
    group_of: Callable[[Any], Hashable] | None = None,
) -> Comparison:
    """Trains what is not trained yet, scores every run on its dataset.val, draws and prints.

    A finished run is taken from its folder; an interrupted one goes on where it was. Delete a folder to train
    it again. More seeds can be asked for later.

    Raises:
        ConfigError: a folder holds the run of another config.

    Args:
        entries: in the order of training; a teacher stands before its students.
        work_dir: a folder per run; `table.txt`, `results.json`, `comparison.png` and, where gains are asked
            for, `gains.png` go here.
        seeds: of every entry without one of its own.
        overrides: `key.path=value` for every run.
        metrics: columns of the table, as far as the evaluator gives them.
        group_of: gives equal values for the identifiers of images of the same place, which the intervals of
            gains then draw together.
    """
    work_dir, log = Path(work_dir), get_logger("compare")
    runs = of_every_seed(entries, seeds)
    configs = {run.name: _config_of(run, work_dir, overrides) for run in runs}
    clock = _Clock([run.cost * _num_steps(configs[run.name]) for run in runs])
    results = {}
    for number, run in enumerate(runs):
        about = f"part {number + 1} of {len(runs)}: {run.name} ({run.config})"
        log.info("%s%s", about, clock.estimate(number))
        results[run.name] = _train_and_score(configs[run.name])
    truth = Truth(configs[runs[0].name], work_dir, results)
    names = [name for name in metrics if name in next(iter(results.values()))]
    gains = _gains(entries, seeds, truth, group_of)
    lines = {entry.name: [results[run] for run in _names(entry, seeds)] for entry in entries}
    drawn = "seeds and images" if group_of is None else "seeds and groups of images"
    table = format_seeds(lines, gains, names=names, drawn=drawn)
    text = json.dumps(results, indent=1)
    atomic_write(work_dir / "table.txt", lambda file: file.write(f"{table}\n".encode()))
    atomic_write(work_dir / "results.json", lambda file: file.write(text.encode()))
    starts = {entry.starts_from for entry in entries}
    folders = {
        entry.name: work_dir / _names(entry, seeds)[0] for entry in entries if entry.name not in starts
    }
    found = {name: truth.found(folder / DETECTIONS) for name, folder in folders.items()}
    picture = canvas.write_image(work_dir / "comparison.png", draw_comparison(folders, truth.dataset, found))
    log.info("%s\n%s\npicture: %s", clock.total(), table, picture)
    if gains:
        log.info("gains: %s", draw_gains({"": _bars(entries, lines, gains)}, work_dir / "gains.png", GAIN))
    return Comparison(results, gains)


def _bars(
    entries: Sequence[Entry], lines: Mapping[str, Sequence[Mapping[str, Any]]], gains: Mapping[str, Gain]
) -> dict[str, dict[str, Gain]]:
    """{"name, AP of what it is compared with and its own": {"": gain}} for `draw_gains`."""
    mean = {name: 100 * float(np.mean([run["AP"] for run in runs])) for name, runs in lines.items()}
    return {
        f"{entry.name}\n{mean[entry.gain_over]:.1f} → {mean[entry.name]:.1f}": {"": gains[entry.name]}
        for entry in entries
        if entry.gain_over is not None
    }


def _config_of(run: Entry, work_dir: Path, overrides: Sequence[str]) -> Config:
    own = [f"work_dir={work_dir / run.name}", f"seed={run.seed}"]
    for key, name in (("distill.teacher.checkpoint", run.taught_by), ("pretrained_weights", run.starts_from)):
        if name is not None:
            own.append(f"{key}={work_dir / name / LAST_CHECKPOINT}")
    return prepare_config(run.config, [*overrides, *run.overrides, *own])


def _num_steps(config: Config) -> int:
    section, num_images = config.dataset.train, 0
    if config.max_iter is None:
        datasets, _ = parts.build_datasets({"train": section}, ("train",))
        num_images = len(datasets["train"])
    return parts.num_steps(config, -(-num_images // section.get("batch_size", 1)))


def _train_and_score(config: Config) -> dict[str, Any]:
    folder = Path(config.work_dir)
    file, dataset = folder / DETECTIONS, Truth.dataset_of(config)
    if file.is_file():
        require_finished_run(folder, config)
        get_logger("compare").info("already trained: %s", folder)
    else:
        # A run that was ended between its last checkpoint and this has nothing left to train.
        Runner(config, resume=True).run("train")
        write_plain_results(_detections(config, dataset), dataset.classes, file)
    # Scored from the file either way: another evaluator needs no other run.
    evaluator, views = (
        parts.build_evaluator(config.dataset.val, dataset),
        dataset.views((), config.merge_iou_threshold),
    )
    metrics, _ = dataset.score(read_results(file, dataset.classes), evaluator, views)
    write_metrics(metrics, folder / "metrics.json")
    return metrics


def _names(entry: Entry, seeds: Sequence[int]) -> list[str]:
    return [entry.name] if entry.seed is not None else [run_name(entry.name, seed) for seed in seeds]


def _gains(
    entries: Sequence[Entry],
    seeds: Sequence[int],
    truth: Truth,
    group_of: Callable[[Any], Hashable] | None,
) -> dict[str, Gain]:
    groups = None if group_of is None else [group_of(each["img_id"]) for each in truth.truths]
    runs = {entry.name: _names(entry, seeds) for entry in entries}
    gains = {}
    for entry in entries:
        if entry.gain_over is not None:
            own, others = ([truth.score(run) for run in runs[name]] for name in (entry.name, entry.gain_over))
            gains[entry.name] = paired_gain(own, others, len(truth.truths), groups=groups)
    return gains


class _Clock:
    """How long the rest will take, judged by the parts that this process has run."""

    def __init__(self, costs: Sequence[float]):
        self.costs = costs
        self.started = time.perf_counter()

    def estimate(self, number: int) -> str:
        spent, done = time.perf_counter() - self.started, sum(self.costs[:number])
        if done == 0:
            return "; the first step compiles its kernels and takes minutes"
        left = spent / done * sum(self.costs[number:])
        return f"; {spent / 60:.0f} min so far, about {left / 60:.0f} min to go"

    def total(self) -> str:
        return f"{(time.perf_counter() - self.started) / 60:.1f} min"


class Truth:
    """What the runs in a folder were scored on, and what they scored."""

    def __init__(self, config: Config, work_dir: Path, results: Mapping[str, dict[str, Any]]):
        self.dataset = self.dataset_of(config)
        self.truths = self.dataset.ground_truth()
        self.work_dir, self.results = work_dir, results

    @staticmethod
    def dataset_of(config: Config) -> Dataset:
        """dataset.val of a config."""
        return parts.build_datasets({"val": config.dataset.val}, ("val",))[0]["val"]

    def found(self, path: Path) -> list[Detections]:
        """The detections in a file of a run."""
        return read_results(path, self.dataset.classes)

    def score(self, run: str) -> Score:
        """AP of a run under image weights where the protocol has such a score, else as measured."""
        metrics = self.results[run]
        kind = SCORES.get(metrics["protocol"])
        if kind is not None:
            found = self.found(self.work_dir / run / DETECTIONS)
            score = kind(found, self.truths, len(self.dataset.classes))
            # It is another number where the evaluator has thresholds of its own, or scored merged patches.
            if abs(score(np.ones(len(self.truths), np.int64)) - metrics["AP"]) < SAME_AP:
                return score
        return lambda weights: metrics["AP"]


def _detections(config: Config, dataset: Dataset) -> list[Detections]:
    detector = init_detector(config, str(Path(config.work_dir) / LAST_CHECKPOINT))
    loader = parts.build_loader(config.dataset.val, dataset, config.seed, is_training=False)
    try:
        return tasks.predict(detector, loader)
    finally:
        loader.close()
