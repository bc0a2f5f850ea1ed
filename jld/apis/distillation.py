"""One call from two detectors to a distilled one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jld.apis.inference import init_detector, use_device
from jld.apis.registration import register_parts
from jld.config import Config, config_file, load_config, prepare_config
from jld.config.loader import merge
from jld.errors import ConfigError
from jld.models import Detector
from jld.runner import Runner


@dataclass(frozen=True)
class Distilled:
    """What a distillation leaves.

    Attributes:
        config: as it ran, chosen terms included.
        work_dir: of the run: log, config, checkpoints, results.
        checkpoint: its best weights, or the last where nothing was evaluated.
        metrics: of the last evaluation; empty without dataset.val, and where a run had ended before.
    """

    config: Config
    work_dir: Path
    checkpoint: Path
    metrics: dict[str, Any]

    def detector(self) -> Detector:
        """The student, ready for `jld.inference_detector`."""
        return init_detector(self.config, self.checkpoint)


def distill(
    student: str | Path | Mapping[str, Any],
    teacher: str | Path | Mapping[str, Any] | None = None,
    *,
    terms: Sequence[Mapping[str, Any]] | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    **keys: Any,
) -> Distilled:
    """Trains a student under a teacher.

    Args:
        student: config of the detector to train: a file, the name of one, or a dict.
        teacher: a config whose run has left weights, weights that carry their config or have it beside them,
            the folder of a run, or dict(config=..., checkpoint=...); None: the one of the student's config.
        terms: of the distillation; None: those of the config, or the ones that suit both detectors.
        overrides: `key.path=value`, as on the command line.
        resume: go on from the newest checkpoint of the work folder.
        dry_run: a few steps on a few images.
        device: "auto", "cpu" or "cuda".
        keys: config keys, such as `max_epoch=12`, `work_dir="runs/a"`, `optimizer=dict(lr=0.01)`; a section
            is merged into the student's.
    Raises:
        ConfigError: an unknown key, no teacher, or two detectors that cannot be distilled; lists everything.
    Example:
        run = jld.distill("gfl_r18_1x_coco", "gfl_r101_ms_2x_coco", work_dir="runs/r18")
        found = jld.inference_detector(run.detector(), "street.jpg")
    """
    given = {"teacher": str(teacher) if isinstance(teacher, Path) else teacher, "terms": terms}
    given = {key: value for key, value in given.items() if value is not None}
    base = load_config(student) if isinstance(student, str | Path) else Config(student)
    own = {**keys, "distill": merge(keys.get("distill"), given)} if given else keys
    merged = Config(merge(base, own), file=config_file(base))
    if merged.get("distill") is None:
        raise ConfigError("jld.distill needs a teacher, or a config with a `distill` section.")
    register_parts()
    config = prepare_config(merged, overrides)
    use_device(device)
    runner = Runner(config, resume=resume, dry_run=dry_run)
    metrics = runner.run("train")
    best, last = (runner.work_dir / "checkpoints" / name for name in ("best.pkl", "last.pkl"))
    return Distilled(runner.config, runner.work_dir, best if best.is_file() else last, metrics)
