"""A config becomes a run: the four tasks, put together from the parts beside this file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from jld.boxes.detections import Detections
from jld.config import RUN_CONFIG, Config, config_file, dump_config
from jld.config.lengths import begun_at_once, in_steps
from jld.data import DataLoader, Dataset
from jld.data.dota import Views
from jld.data.labels import follow_classes
from jld.distill import Distiller, build_distiller, init_from_teacher
from jld.errors import ConfigError, one_of
from jld.models import Detector, InputStatistics, assign_state, build_detector, load_weights
from jld.ops.precision import FLOAT32
from jld.registry import build
from jld.runner import checks, parts, tasks
from jld.runner.going_on import chosen_checkpoint, newest_sound, resume_file, resume_newest, why_best
from jld.runner.history import LossHistory
from jld.runner.hooks import CheckpointHook, EvaluationHook, Hook, LogHook
from jld.runner.logs import RunLogger
from jld.runner.loop import TrainingLoop
from jld.runner.ranks import require_agreement
from jld.runner.same_run import known_terms, require_same_data, require_same_run, teacher_contents
from jld.runner.state import collect_state, config_text, evaluated_weights, fingerprint
from jld.runner.work_folder import work_folder
from jld.toolchain import jittor as jt
from jld.utils import stopping
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
        checkpoint: weights for val, test and vis_test: a file, or "best" or "last" of the run. None: the
            best, else the last.
        resume: go on from the newest sound checkpoint of work_dir. Where it has none, and without `resume`,
            training goes on from the config's `resume_path`, if it names one.
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
        self.whole = config  # the training that a dry run tries
        self.config = shortened(config) if dry_run else config
        self.checkpoint = checkpoint
        self.resume = resume and not dry_run
        self.dry_run = dry_run
        self.work_dir = Path(self.config.work_dir)
        own = self.work_dir / "checkpoints"
        self.resume_path = self.config.resume_path
        if self.resume and newest_sound(own) is not None:
            self.resume_path = None  # the run itself got further than what it started from
        # Whether the run goes on in the folder where it was broken off, and not with a file of another one.
        start = self.resume_path
        self.goes_on = self.resume if start is None else Path(start).resolve().parent == own.resolve()
        self.save_dir = Path(save_dir) if save_dir else self.work_dir / "results" / "drawn"
        self.log = get_logger("run")

    def run(self, task: str) -> Any:
        """Runs a task by name; the result is that of the method of the same name.

        Raises:
            ConfigError: unknown task, the config lacks the dataset it needs, or work_dir is another run's.
            Stopped: a signal ended it, see `jld.utils.stopping`.
        """
        one_of(task, TASKS, f"unknown task {task!r}")
        checks.check_promises(self.config)
        set_up_logging()  # what is said before the folder is ours goes into its log afterwards
        with stopping.handled(), self._folder(task):
            set_up_logging(self.work_dir / "log.txt")
            set_seed(self.config.seed)
            if world_size() > 1:
                threads = os.environ.get("OMP_NUM_THREADS", "all")
                self.log.info("%d processes, each with %s threads", world_size(), threads)
            return getattr(self, task)()

    def _folder(self, task: str) -> AbstractContextManager:
        if task != "train":
            return nullcontext()  # a checkpoint may be looked at while the run goes on
        return work_folder(self.work_dir, self.config, resumed=self.goes_on, compared=not self.dry_run)

    def train(self) -> dict[str, Any]:
        """Trains, evaluating and saving on the way.

        Returns:
            The metrics of the last evaluation; empty without dataset.val.
        """
        datasets = parts.agree_on_classes(
            self._datasets("train", "val", needed=("train",)), self._weights(), self.log
        )
        model = self.config.model
        accounts = {split: parts.account_of(split, each, model) for split, each in datasets.items()}
        if is_main() and not self.dry_run:
            data = accounts["train"]["fingerprint"]
            require_same_data(self.work_dir, self.config, data, resumed=self.goes_on)
        detector = self._new_detector(datasets)
        section = self.config.dataset.train
        loader = parts.build_loader(section, datasets["train"], self.config.seed, is_training=True)
        num_steps = parts.num_steps(self.config, len(loader))
        if self.goes_on and self.config.distill:
            self.config.distill.terms = known_terms(self.work_dir, self.config.distill)
        config = in_steps(self.config, num_steps)
        distiller = self._new_distiller(config.distill, detector, num_steps)
        if distiller is not None:
            checks.check_lessons(distiller.teachers, datasets["train"])
            self.log.info("distillation:\n%s", distiller.describe(detector))
            modules = config.distill.init_from_teacher
            if modules and (self._weights() or ("",))[0] != "resume_path":
                self.log.info(init_from_teacher(detector, distiller, modules))
        optimizer, said = parts.build_optimizer(config, parts.trainable_parameters(detector, distiller))
        if said:
            self.log.info(said)
        if self.config.precision != FLOAT32:
            self.log.info(parts.precision_text(self.config.precision))
        loop = TrainingLoop(
            detector,
            loader,
            optimizer,
            parts.build_schedule(self.config),
            distiller=distiller,
            max_epoch=self.config.max_epoch,
            max_iter=self.config.max_iter,
            accumulate_steps=self.config.accumulate_steps,
            precision=self.config.precision,
            seed=self.config.seed,
            history=LossHistory(str(self.work_dir / RUN_CONFIG)),
        )
        loop.work_dir = self.work_dir
        if not self.dry_run:
            optimizer.check_length(loop.total_steps)
            if distiller is not None:
                distiller.check_length(loop.total_steps)
        return self._train(loop, datasets, accounts)

    def _train(
        self, loop: TrainingLoop, datasets: Mapping[str, Dataset], accounts: Mapping[str, Any]
    ) -> dict[str, Any]:
        logger = build(self.config.logger) or RunLogger()
        hooks = self._hooks(loop, datasets, logger)
        checkpoints = self._checkpoint_hook(datasets["train"].classes)
        loop.hooks = [*hooks, checkpoints]
        resumed = self._resume(loop)
        require_agreement(fingerprint(loop), "position and weights")
        if loop.is_finished:
            self.log.info(already_finished(loop))
            return {}
        if is_main():
            dump_config(self.config, self.work_dir / RUN_CONFIG)
            teachers = teacher_contents(self.config)
            write_environment(self.work_dir / "env.json", datasets=accounts, teachers=teachers)
        logger.open(self.work_dir, resumed and self.goes_on, json.loads(config_text(self.config)))
        self.log.info("training for %d iterations, results in %s", loop.total_steps, self.work_dir)
        try:
            with stopping.saved_when_stopped(partial(checkpoints.save_when_stopped, loop)):
                loop.run()
        finally:
            logger.close()
            loop.loader.close()
        if loop.metrics:
            self.log.info("%s", tasks.metrics_table(loop.metrics, self.config.published, datasets["val"]))
        return loop.metrics

    def val(self) -> dict[str, Any]:
        """Scores the checkpoint on dataset.val, prints the table, writes results/; returns the metrics."""
        dataset = self._datasets("val", needed=("val",))["val"]
        detector, dataset, checkpoint = self._trained_detector("val", dataset)
        metrics, detections = self._evaluate(detector, dataset, "val", within_training=False)
        if not is_main():
            return metrics
        about = {"config": str(config_file(self.config) or ""), "checkpoint": str(checkpoint), "split": "val"}
        written = tasks.write_results(self.work_dir / "results", dataset, detections, metrics, about)
        table = tasks.metrics_table(metrics, self.config.published, dataset)
        self.log.info("%s\ndetections in %s", table, written)
        return metrics

    def test(self) -> Path | None:
        """Writes the detections on dataset.test as its benchmark takes them; rank 0 returns the file."""
        dataset, detections = self.predict("test", writes_results=True)
        if not is_main():
            return None
        whole = dataset.to_whole(detections, self._views(dataset))
        written = tasks.write_results(self.work_dir / "results" / "test", dataset, whole, None, {})
        self.log.info("results of %d images in %s", len(whole), written)
        return written

    def vis_test(self) -> list[Path]:
        """Draws the detections on dataset.test into `save_dir`; returns the pictures, all of rank 0."""
        dataset, detections = self.predict("test")
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
            if "train" in datasets:
                batches = -(-len(datasets["train"]) // self.config.dataset.train.get("batch_size", 1))
                self.whole_steps = parts.num_steps(self.whole, batches)
            counts = dict.fromkeys(splits, DRY_RUN_IMAGES)
            train = self.config.dataset.train or {}
            counts["train"] = DRY_RUN_BATCHES * train.get("batch_size", 1) * self.config.accumulate_steps
            datasets = {split: each.first(counts[split]) for split, each in datasets.items()}
        return datasets

    def _new_detector(self, datasets: Mapping[str, Dataset]) -> Detector:
        weights = self.config.pretrained_weights
        detector = build_detector(self.config, pretrained=weights is None)
        checks.check_run(self.config, datasets, detector)
        classes = datasets["train"].classes
        if weights is not None:
            how = self.config.pretrained_classes
            load_weights(detector, weights, what="pretrained_weights", class_layer=how, classes=classes)
            self.log.info("weights of %s", weights)
        detector.classes = classes  # whether the weights' own may differ was decided before
        # Random numbers are drawn when they are computed: now, so that a teacher built later changes nothing.
        jt.sync(detector.parameters())
        return detector

    def _new_distiller(self, distill: Config | None, detector: Detector, num_steps: int) -> Distiller | None:
        """The distiller of a section in steps; terms that are chosen for the two go into the run's config."""
        distiller = build_distiller(distill, detector, self.whole_steps if self.dry_run else num_steps)
        if distill is not None and self.config.distill.terms is None:
            self.config.distill.terms = distill.terms
            if is_main() and not self.dry_run:  # only now it is known whether they are those of the folder
                require_same_run(self.work_dir, self.config, resumed=self.goes_on)
        return distiller

    def _trained_detector(
        self, split: str, dataset: Dataset, *, writes_results: bool = False
    ) -> tuple[Detector, Dataset, Path]:
        """(detector, dataset with the classes of its checkpoint, path of that)."""
        path = chosen_checkpoint(self.config, self.checkpoint)
        detector = build_detector(self.config, pretrained=False)
        weights, kind = evaluated_weights(path)
        dataset, said = follow_classes(
            dataset, weights.classes or (), ours=f"dataset.{split}", theirs=str(path)
        )
        if said:
            self.log.info(said)
        if weights.config is not None:
            detector.normalisation = InputStatistics.from_config(weights.config)
        checks.check_run(self.config, {split: dataset}, detector, writes_results=writes_results)
        detector.classes = dataset.classes or detector.classes
        assign_state(detector, weights.state, what=str(path))
        epoch = f" of epoch {weights.meta['epoch']}" if "epoch" in weights.meta else ""
        best = "" if self.checkpoint else why_best(path, weights.meta)
        self.log.info("%s%s of %s%s", kind, epoch, path, best)
        return detector, dataset, path

    def _weights(self) -> tuple[str, Path] | None:
        """(the key that names it, the file) that training starts from, if it starts from one."""
        resumed = self.resume_path
        if resumed is None and self.resume:
            resumed = newest_sound(self.work_dir / "checkpoints")
        if resumed is not None:
            return "resume_path", Path(resumed)
        weights = self.config.pretrained_weights
        is_whole = weights is not None and self.config.pretrained_classes == "load"
        return ("pretrained_weights", Path(weights)) if is_whole else None

    def _resume(self, loop: TrainingLoop) -> bool:
        said = None
        if self.resume_path is not None:
            said = resume_file(loop, Path(self.resume_path))
        elif self.resume:
            said = resume_newest(loop, self.work_dir / "checkpoints")
            if said is None:
                self.log.warning("there is no checkpoint in %s to resume: starting anew.", self.work_dir)
        if said is not None:
            self.log.info("%s", said)
        return said is not None

    def _hooks(self, loop: TrainingLoop, datasets: Mapping[str, Dataset], logger: RunLogger) -> list[Hook]:
        config = self.config
        hooks: list[Hook] = (
            [] if config.ema is None else [build({"type": "EMAHook", **config.ema}, path="ema")]
        )
        hooks.append(LogHook(logger, config.log_interval))
        if "val" in datasets:
            evaluator = parts.build_evaluator(config.dataset.val, datasets["val"])
            best_metric = parts.best_metric(config, evaluator, datasets["val"].classes)

            def evaluate() -> dict[str, Any]:
                metrics, found = self._evaluate(loop.detector, datasets["val"], "val", within_training=True)
                if logger.pictures and is_main():
                    shown = datasets["val"].first(logger.pictures)
                    logger.log_pictures(tasks.example_pictures(found, shown), loop.iteration)
                return metrics

            hooks.append(EvaluationHook(evaluate, logger, config.eval_interval, best_metric))
        hooks += build(config.hooks or [], path="hooks")
        return hooks

    def _checkpoint_hook(self, classes: Sequence[str]) -> CheckpointHook:
        return CheckpointHook(
            self.work_dir / "checkpoints",
            partial(collect_state, config=self.config, classes=classes),
            self.config.checkpoint_interval,
            every_iters=self.config.checkpoint_iters,
            keep=self.config.keep_checkpoints,
            resumed=self.goes_on,
        )

    def _loader(self, split: str, dataset: Dataset) -> DataLoader:
        return parts.build_loader(self.config.dataset[split], dataset, self.config.seed, is_training=False)

    def _views(self, dataset: Dataset) -> Views | None:
        config = self.config
        return dataset.views(config.flip_test or (), config.merge_iou_threshold, config.scale_test or ())

    def predict(self, split: str, *, writes_results: bool = False) -> tuple[Dataset, list[Detections]]:
        """(dataset with the classes of the checkpoint, what it finds in each image) of a split."""
        dataset = self._datasets(split, needed=(split,))[split]
        detector, dataset, _ = self._trained_detector(split, dataset, writes_results=writes_results)
        loader = self._loader(split, dataset)
        try:
            return dataset, tasks.predict(detector, loader, views=self._views(dataset))
        finally:
            loader.close()

    def _evaluate(
        self, detector: Detector, dataset: Dataset, split: str, *, within_training: bool
    ) -> tuple[dict[str, Any], Sequence[Detections]]:
        views = self._views(dataset)
        if views is not None and within_training:
            # One view has to do: each further one takes as long as the images themselves.
            views = replace(views, flips=(), scales=())
        section = self.config.dataset[split]
        evaluator = parts.build_evaluator(section, dataset, within_training=within_training)
        loader = self._loader(split, dataset)
        try:
            return tasks.evaluate(detector, loader, evaluator, views=views)
        finally:
            loader.close()


def shortened(config: Config) -> Config:
    """The same config for a smoke run: one epoch, all phases, a line per step, a folder of its own."""
    return Config(
        {
            **begun_at_once(config),
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


def already_finished(loop: TrainingLoop) -> str:
    """What is said of a resumed run that has nothing left to do."""
    length = "max_epoch" if loop.max_iter is None else "max_iter"
    if not loop.is_at_length:
        length = "patience of EarlyStopping"
    return (
        f"the run is finished (iteration {loop.iteration}) and stays as it is: --task=val scores it, "
        f"a larger {length} goes on."
    )
