"""Several runs beside each other: a teacher, plain and distilled students; one table, one picture.

The quick start and the projects use it, so that every comparison trains, scores and draws in the same way.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jld.apis.inference import init_detector
from jld.boxes.detections import Detections
from jld.checkpoint import atomic_write
from jld.config import Config, prepare_config
from jld.evaluation.tables import format_runs, write_metrics
from jld.runner import Runner, parts, tasks
from jld.utils.logging import get_logger
from jld.visualization import boxes, canvas, curves, montage

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
PANELS = ("eval/AP", "eval/AP75", "loss_bbox", "loss_cls")
EXAMPLES = 5
SCORE_SHOWN = 0.3
DRAWN_SIDE = 384


@dataclass(frozen=True)
class Entry:
    """One run of a comparison.

    Attributes:
        name: of its folder and its line in the table.
        config: path of its config file.
        taught_by: name of an earlier entry whose last checkpoint is its teacher, or None.
        cost: seconds of one of its training steps relative to the others', for the estimate of the time left.
        seed: of this run; None takes the comparison's.
    """

    name: str
    config: str
    taught_by: str | None = None
    cost: float = 1.0
    seed: int | None = None


def compare(
    entries: Sequence[Entry],
    work_dir: str | Path,
    *,
    seed: int = 0,
    overrides: Sequence[str] = (),
    metrics: Sequence[str] = METRICS,
) -> dict:
    """Trains what is not trained yet, scores every entry on its dataset.val, draws and prints.

    A finished entry is taken from its folder; an interrupted one goes on where it was. Delete a folder to
    train it again.

    Args:
        entries: in the order of training; a teacher stands before its students.
        work_dir: a folder per entry, `table.txt`, `results.json` and `comparison.png` go here.
        seed: of every entry without one of its own.
        overrides: `key.path=value` for every entry.
        metrics: columns of the table, as far as the evaluator gives them.
    Returns:
        {entry name: metrics}.
    """
    work_dir, log = Path(work_dir), get_logger("compare")
    configs = {entry.name: _config_of(entry, work_dir, seed, overrides) for entry in entries}
    clock = _Clock([entry.cost * _num_steps(configs[entry.name]) for entry in entries])
    results = {}
    for number, entry in enumerate(entries):
        log.info(
            "part %d of %d: %s (%s)%s",
            number + 1,
            len(entries),
            entry.name,
            entry.config,
            clock.estimate(number),
        )
        results[entry.name] = _train_and_score(configs[entry.name])
    table = format_runs(results, names=[name for name in metrics if name in next(iter(results.values()))])
    text = json.dumps(results, indent=1)
    atomic_write(work_dir / "table.txt", lambda file: file.write(f"{table}\n".encode()))
    atomic_write(work_dir / "results.json", lambda file: file.write(text.encode()))
    picture = canvas.write_image(work_dir / "comparison.png", draw_comparison(configs))
    log.info("%s\n%s\npicture: %s", clock.total(), table, picture)
    return results


def _config_of(entry: Entry, work_dir: Path, seed: int, overrides: Sequence[str]) -> Config:
    own = [f"work_dir={work_dir / entry.name}", f"seed={seed if entry.seed is None else entry.seed}"]
    if entry.taught_by is not None:
        own.append(f"distill.teacher.checkpoint={work_dir / entry.taught_by / 'checkpoints' / 'last.pkl'}")
    return prepare_config(entry.config, [*overrides, *own])


def _num_steps(config: Config) -> int:
    section, num_images = config.dataset.train, 0
    if config.max_iter is None:
        datasets, _ = parts.build_datasets({"train": section}, ("train",))
        num_images = len(datasets["train"])
    return parts.num_steps(config, -(-num_images // section.get("batch_size", 1)))


def _train_and_score(config: Config) -> dict[str, Any]:
    done = Path(config.work_dir) / "metrics.json"
    if done.is_file():
        get_logger("compare").info("already trained: %s", done)
        return json.loads(done.read_text(encoding="utf-8"))
    # A run that was ended between its last checkpoint and this has nothing left to train.
    metrics = Runner(config, resume=True).run("train") or Runner(config, checkpoint="last").run("val")
    write_metrics(metrics, done)
    return metrics


def mean_metrics(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of every number that all runs have, with their protocol."""
    names = [name for name, value in runs[0].items() if isinstance(value, int | float)]
    return {
        "protocol": runs[0]["protocol"],
        **{name: sum(run[name] for run in runs) / len(runs) for name in names},
    }


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


def draw_comparison(configs: dict[str, Config]) -> Any:
    """Curves of all runs above example pictures: ground truth, then every run's detections.

    Args:
        configs: {run name: its config}; each has a `work_dir` with log.jsonl and checkpoints/last.pkl.
    Returns:
        uint8 [H, W, 3] BGR.
    """
    logs = {name: curves.read_log(Path(config.work_dir) / "log.jsonl") for name, config in configs.items()}
    panels = [key for key in PANELS if any(key in record for log in logs.values() for record in log)]
    above = curves.draw_curves(logs, panels, columns=len(panels))
    return montage.stack([above, _draw_examples(configs)])


def _draw_examples(configs: dict[str, Config]) -> Any:
    first = next(iter(configs.values()))
    datasets, _ = parts.build_datasets({"val": first.dataset.val}, ("val",))
    dataset = datasets["val"]
    truths = dataset.ground_truth()
    chosen = [index for index, truth in enumerate(truths) if len(truth["boxes"]) > 1][:EXAMPLES]
    images = {index: dataset.read_image(index) for index in chosen}
    # Lines are a pixel or two wide: small images are enlarged before they are drawn on.
    zoom = max(
        1, -(-DRAWN_SIDE // min((max(image.shape[:2]) for image in images.values()), default=DRAWN_SIDE))
    )
    images = {index: image.repeat(zoom, 0).repeat(zoom, 1) for index, image in images.items()}
    corners = {index: zoom * truths[index].get("polys", truths[index]["boxes"]) for index in chosen}
    cells = [boxes.draw_boxes(images[i], corners[i], truths[i]["labels"], with_text=False) for i in chosen]
    captions = ["ground truth"] * len(chosen)
    for name, config in configs.items():
        found = {result.img_id: result for result in _detections(config)}
        for index in chosen:
            result = found[truths[index]["img_id"]]
            drawn = boxes.draw_boxes(
                images[index],
                boxes.scaled(result.shapes, zoom),
                result.labels,
                result.scores,
                score_threshold=SCORE_SHOWN,
                with_text=False,
            )
            cells.append(boxes.draw_truth_outline(drawn, corners[index]))
            captions.append(name)
    return montage.montage(cells, columns=len(chosen), captions=captions, cell_size=(256, 256 * 4 // 3))


def _detections(config: Config) -> list[Detections]:
    detector = init_detector(config, str(Path(config.work_dir) / "checkpoints" / "last.pkl"))
    datasets, _ = parts.build_datasets({"val": config.dataset.val}, ("val",))
    loader = parts.build_loader(config.dataset.val, datasets["val"], config.seed, is_training=False)
    try:
        return tasks.predict(detector, loader)
    finally:
        loader.close()
