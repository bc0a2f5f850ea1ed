"""A config becomes a run: the four tasks, put together from the parts beside this file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jld.boxes.detections import Detections
from jld.config import Config, config_file, dump_config
from jld.data import Dataset
from jld.distill import InputStatistics, build_distiller
from jld.errors import ConfigError, suggestion
from jld.models import assign_state, build_detector, load_weights
from jld.ops.precision import FLOAT32
from jld.registry import build
from jld.runner import checks, parts, tasks
from jld.runner.history import LossHistory
from jld.runner.hooks import CheckpointHook, EMAHook, EvaluationHook, LogHook
from jld.runner.logs import RunLogger
from jld.runner.loop import TrainingLoop
from jld.runner.ranks import require_agreement
from jld.runner.state import LAST, collect_state, evaluation_arrays, fingerprint, resume
from jld.toolchain import jittor as jt
from jld.utils.distributed import is_main, world_size
from jld.utils.environment import write_environment
from jld.utils.logging import get_logger, set_up_logging
from jld.utils.seeds import set_seed

TASKS = ("train", "val", "test", "vis_test")
DRY_RUN_BATCHES = 3
DRY_RUN_IMAGES = 4


class Runner:
    """Runs one task of one config.

    Args:
        config: checked and complete (`jld.config.prepare_config`).
        checkpoint: weights for val, test and vis_test; default: the run's last checkpoint.
        resume: go on from `work_dir/checkpoints/last.pkl`; a `resume_path` in the config asks for the same.
        save_dir: where vis_test draws; default: `work_dir/results/drawn`.
        dry_run: a few steps on a few images of the same config, in `work_dir/dry_run`.
    """

    def __init__(
        self,
        config: Config,
        *,
        checkpoint: str | None = None,
        resume: bool = False,
        save_dir: str | None = None,
        dry_run: bool = False,
    ):
        self.config = shortened(config) if dry_run else config
        self.checkpoint = checkpoint
        self.resume = resume and not dry_run
        self.dry_run = dry_run
        self.work_dir = Path(self.config.work_dir)
        self.save_dir = Path(save_dir) if save_dir else self.work_dir / "results" / "drawn"
        self.log = get_logger("run")

    def run(self, task: str) -> Any:
        """Runs a task by name; the result is that of the method of the same name.

        Raises:
            ConfigError: unknown task, or the config lacks the dataset it needs.
        """
        if task not in TASKS:
            raise ConfigError(f"unknown task {task!r}: {suggestion(task, TASKS)}")
        checks.check_promises(self.config)
        set_up_logging(self.work_dir / "log.txt")
        set_seed(self.config.seed)
        if world_size() > 1:
            threads = os.environ.get("OMP_NUM_THREADS", "all")
            self.log.info("%d processes, each with %s threads", world_size(), threads)
        return getattr(self, task)()

    def train(self) -> dict[str, Any]:
        """Trains, evaluating and saving on the way.

        Returns:
            The metrics of the last evaluation; empty without dataset.val.
        """
        datasets = self._datasets("train", "val", needed=("train",))
        config_path = self.work_dir / "config.py"
        if is_main():
            dump_config(self.config, config_path)
            write_environment(self.work_dir / "env.json")
        detector = self._new_detector(datasets)
        distiller = build_distiller(
            self.config.distill, detector, statistics=InputStatistics.from_config(self.config)
        )
        if distiller is not None:
            self.log.info("distillation:\n%s", distiller.describe(detector))
        optimizer, said = parts.build_optimizer(self.config, parts.trainable_parameters(detector, distiller))
        if said:
            self.log.info(said)
        if self.config.precision != FLOAT32:
            self.log.info(parts.precision_text(self.config.precision))
        loop = TrainingLoop(
            detector,
            parts.build_loader(
                self.config.dataset.train, datasets["train"], self.config.seed, is_training=True
            ),
            optimizer,
            parts.build_schedule(self.config),
            distiller=distiller,
            max_epoch=self.config.max_epoch,
            max_iter=self.config.max_iter,
            accumulate_steps=self.config.accumulate_steps,
            precision=self.config.precision,
            seed=self.config.seed,
            history=LossHistory(str(config_path)),
        )
        return self._train(loop, datasets)

    def _train(self, loop: TrainingLoop, datasets: Mapping[str, Any]) -> dict[str, Any]:
        average = self._average(loop.detector)
        resumed = self._resume(loop, average)
        require_agreement(fingerprint(loop), "position and weights")
        logger = build(self.config.logger) or RunLogger()
        logger.open(self.work_dir, keep_old=resumed)
        loop.hooks = self._hooks(loop, datasets, logger, average)
        self.log.info("training for %d iterations, results in %s", loop.total_steps, self.work_dir)
        try:
            loop.run()
        finally:
            logger.close()
            loop.loader.close()
        if loop.metrics:
            self.log.info("%s", tasks.metrics_table(loop.metrics, self.config.published, datasets["val"]))
        return loop.metrics

    def val(self) -> dict[str, Any]:
        """Scores the checkpoint on dataset.val, prints the table, writes results/; returns the metrics."""
        datasets = self._datasets("val", needed=("val",))
        dataset, (detector, checkpoint) = datasets["val"], self._trained_detector(datasets)
        metrics, detections = self._evaluate(detector, dataset, "val", with_flips=True)
        if not is_main():
            return metrics
        about = {"config": str(config_file(self.config) or ""), "checkpoint": str(checkpoint), "split": "val"}
        written = tasks.write_results(self.work_dir / "results", dataset, detections, metrics, about)
        table = tasks.metrics_table(metrics, self.config.published, dataset)
        self.log.info("%s\ndetections in %s", table, written)
        return metrics

    def test(self) -> Path | None:
        """Writes the detections on dataset.test as its benchmark takes them; rank 0 returns the file."""
        dataset, detections = self._predict("test")
        if not is_main():
            return None
        detections = dataset.to_whole(detections, self._views(dataset))
        written = tasks.write_results(self.work_dir / "results" / "test", dataset, detections, None, {})
        self.log.info("results of %d images in %s", len(detections), written)
        return written

    def vis_test(self) -> list[Path]:
        """Draws the detections on dataset.test into `save_dir`; returns the pictures, all of rank 0."""
        dataset, detections = self._predict("test")
        if not is_main():
            return []
        written = tasks.draw_detections(detections, dataset, self.save_dir, classes=dataset.classes)
        self.log.info("%d pictures in %s", len(written), self.save_dir)
        return written

    # Parts of the tasks.

    def _datasets(self, *splits: str, needed: tuple[str, ...]) -> dict[str, Dataset]:
        for split in needed:
            if self.config.dataset[split] is None:
                raise ConfigError(f"this task needs dataset.{split}, which the config does not have.")
        datasets, warnings = parts.build_datasets(self.config.dataset, splits)
        for text in warnings:
            self.log.warning(text)
        if self.dry_run:
            counts = dict.fromkeys(splits, DRY_RUN_IMAGES)
            train = self.config.dataset.train or {}
            counts["train"] = DRY_RUN_BATCHES * train.get("batch_size", 1) * self.config.accumulate_steps
            datasets = {split: each.first(counts[split]) for split, each in datasets.items()}
        return datasets

    def _new_detector(self, datasets: Mapping[str, Dataset]) -> Any:
        weights = self.config.pretrained_weights
        detector = build_detector(self.config, pretrained=weights is None)
        checks.check_run(self.config, datasets, detector)
        if weights is not None:
            load_weights(detector, weights, what="pretrained_weights")
            self.log.info("weights of %s", weights)
        # Random numbers are drawn when they are computed: now, so that a teacher built later changes nothing.
        jt.sync(detector.parameters())
        return detector

    def _trained_detector(self, datasets: Mapping[str, Dataset]) -> tuple[Any, Path]:
        path = self._checkpoint()
        detector = build_detector(self.config, pretrained=False)
        checks.check_run(self.config, datasets, detector)
        arrays, meta, kind = evaluation_arrays(path, use_average=self.config.ema is not None)
        assign_state(detector, arrays, what=str(path))
        epoch = f" of epoch {meta['epoch']}" if "epoch" in meta else ""
        self.log.info("%s%s of %s", kind, epoch, path)
        return detector, path

    def _checkpoint(self) -> Path:
        last = self.work_dir / "checkpoints" / LAST
        given = self.checkpoint or self.config.resume_path or (str(last) if last.is_file() else None)
        given = given or self.config.pretrained_weights
        if given is None:
            raise ConfigError(
                f"there are no weights to run: {last} does not exist; train first or give --checkpoint."
            )
        return Path(given)

    def _average(self, detector: Any) -> EMAHook | None:
        if self.config.ema is None:
            return None
        average = build({"type": "EMAHook", **self.config.ema}, path="ema")
        average.attach(detector)
        return average

    def _resume(self, loop: TrainingLoop, average: EMAHook | None) -> bool:
        if not self.resume and self.config.resume_path is None:
            return False
        path = Path(self.config.resume_path or self.work_dir / "checkpoints" / LAST)
        if self.config.resume_path is None and not path.exists():
            self.log.warning("there is no %s to resume: starting from the beginning.", path)
            return False
        self.log.info("%s", resume(loop, path, average))
        return True

    def _hooks(
        self, loop: TrainingLoop, datasets: Mapping[str, Any], logger: RunLogger, average: Any
    ) -> list[Any]:
        config = self.config
        hooks: list[Any] = [average] if average is not None else []
        hooks.append(LogHook(logger, config.log_interval))
        if "val" in datasets:
            evaluate: Callable[[], dict] = lambda: self._evaluate(loop.detector, datasets["val"], "val")[0]  # noqa: E731
            hooks.append(EvaluationHook(evaluate, logger, config.eval_interval, average))
        hooks += build(config.hooks or [], path="hooks")
        collect = partial(collect_state, config=config, classes=datasets["train"].classes, average=average)
        hooks.append(
            CheckpointHook(
                self.work_dir / "checkpoints",
                collect,
                config.checkpoint_interval,
                every_iters=config.checkpoint_iters,
                keep=config.keep_checkpoints,
            )
        )
        return hooks

    def _loader(self, split: str, dataset: Any) -> Any:
        return parts.build_loader(self.config.dataset[split], dataset, self.config.seed, is_training=False)

    def _views(self, dataset: Dataset, *, with_flips: bool = True) -> Any:
        flips = self.config.flip_test if with_flips else None
        return dataset.views(flips or (), self.config.merge_nms_threshold_type)

    def _predict(self, split: str) -> tuple[Dataset, list[Detections]]:
        datasets = self._datasets(split, needed=(split,))
        dataset, (detector, _) = datasets[split], self._trained_detector(datasets)
        loader = self._loader(split, dataset)
        try:
            return dataset, tasks.predict(detector, loader, views=self._views(dataset))
        finally:
            loader.close()

    def _evaluate(
        self, detector: Any, dataset: Dataset, split: str, *, with_flips: bool = False
    ) -> tuple[dict[str, Any], Sequence[Detections]]:
        # During training one view has to do: each flip takes as long as the images themselves.
        views = self._views(dataset, with_flips=with_flips)
        evaluator = parts.build_evaluator(self.config.dataset[split], dataset)
        loader = self._loader(split, dataset)
        try:
            return tasks.evaluate(detector, loader, evaluator, views=views)
        finally:
            loader.close()


def shortened(config: Config) -> Config:
    """The same config for a smoke run: one epoch, a line per step, a folder of its own."""
    return Config(
        {
            **config,
            "max_epoch": 1,
            "max_iter": None,
            "log_interval": 1,
            "eval_interval": 1,
            "checkpoint_interval": 1,
            "resume_path": None,
            "work_dir": str(Path(config["work_dir"]) / "dry_run"),
        },
        file=config_file(config),
    )
