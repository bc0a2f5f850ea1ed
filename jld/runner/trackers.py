"""Loggers of other trackers: Weights & Biases, MLflow, SwanLab; their packages are optional.

All three write into the run's folder unless they are told otherwise, so that a machine without a network
loses nothing. A resumed run goes on with the identifier that its folder keeps.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jld.errors import ConfigError
from jld.registry import LOGGERS
from jld.runner.logs import Logger, scalars


class Tracker(Logger):
    """Base: looks for the package before anything runs, and keeps the identifier of the run.

    Attributes:
        package: to be imported.
    """

    package = ""
    takes_pictures = True

    def __init__(self):
        if importlib.util.find_spec(self.package) is None:
            raise ConfigError(
                f"{type(self).__name__} needs the package {self.package}: pip install {self.package}"
            )

    def identifier(self, work_dir: Path, keep_old: bool) -> str | None:
        """That of the interrupted run, None to begin a new one."""
        path = self._note(work_dir)
        return path.read_text(encoding="utf-8").strip() or None if keep_old and path.is_file() else None

    def remember(self, work_dir: Path, identifier: str) -> None:
        """Notes the identifier for a resume."""
        self._note(work_dir).write_text(f"{identifier}\n", encoding="utf-8")

    def _note(self, work_dir: Path) -> Path:
        return work_dir / f"{self.package}_run.txt"


class RunTracker(Tracker):
    """Base of those whose run is an object with `log` and `finish`; `open` makes it."""

    _run: Any
    _picture: Any

    def log(self, record: Mapping[str, Any]) -> None:
        """See `Logger`."""
        self._run.log(scalars(record), step=record["iter"])

    def log_pictures(self, pictures: Mapping[str, np.ndarray], iteration: int) -> None:
        """See `Logger`."""
        images = {name: self._picture(picture[..., ::-1]) for name, picture in pictures.items()}
        self._run.log(images, step=iteration)

    def close(self) -> None:
        """See `Logger`."""
        self._run.finish()


@LOGGERS.register
class WandbLogger(RunTracker):
    """Weights & Biases; offline by default (`wandb sync work_dir/wandb/offline-run-...` sends it).

    Args:
        project: groups runs.
        mode: "online" needs an account (`wandb login`).
        entity: user or team; None is the account's own.
        tags: of the run.
    """

    package = "wandb"

    def __init__(
        self,
        project: str = "jld",
        mode: Literal["offline", "online"] = "offline",
        entity: str | None = None,
        tags: list[str] | None = None,
    ):
        super().__init__()
        self.settings = {"project": project, "mode": mode, "entity": entity, "tags": tags}

    def open(self, work_dir: Path, keep_old: bool, config: Mapping[str, Any]) -> None:
        """See `Logger`."""
        import wandb

        self._picture = wandb.Image
        self._run = wandb.init(
            **self.settings,
            name=work_dir.resolve().name,
            dir=str(work_dir),
            config=dict(config),
            id=self.identifier(work_dir, keep_old),
            resume="allow",
        )
        self.remember(work_dir, self._run.id)


@LOGGERS.register
class SwanLabLogger(RunTracker):
    """SwanLab; offline by default (`swanlab watch work_dir/swanlab` shows it, `swanlab sync` sends it).

    Args:
        project: groups runs.
        mode: "offline" and "local" write into the run's folder, "cloud" needs an account (`swanlab login`).
    """

    package = "swanlab"

    def __init__(self, project: str = "jld", mode: Literal["offline", "local", "cloud"] = "offline"):
        super().__init__()
        self.settings = {"project": project, "mode": mode}

    def open(self, work_dir: Path, keep_old: bool, config: Mapping[str, Any]) -> None:
        """See `Logger`."""
        import swanlab

        self._picture = swanlab.Image
        identifier = self.identifier(work_dir, keep_old)
        self._run = swanlab.init(
            **self.settings,
            experiment_name=work_dir.resolve().name,
            logdir=str(work_dir / "swanlab"),
            config=dict(config),
            **({"id": identifier, "resume": "allow"} if identifier else {}),
        )
        self.remember(work_dir, str(getattr(self._run, "id", "") or ""))


@LOGGERS.register
class MLflowLogger(Tracker):
    """MLflow; writes into the run's folder (`mlflow ui --backend-store-uri sqlite:///...`) or to a server.

    Args:
        experiment: groups runs.
        tracking_uri: of a server or store; None: `mlflow.db` in the run's folder, pictures in `mlflow`.
    """

    package = "mlflow"

    def __init__(self, experiment: str = "jld", tracking_uri: str | None = None):
        super().__init__()
        self.experiment, self.tracking_uri = experiment, tracking_uri

    def open(self, work_dir: Path, keep_old: bool, config: Mapping[str, Any]) -> None:
        """See `Logger`."""
        from mlflow import MlflowClient

        folder = work_dir.resolve()
        self._client = MlflowClient(self.tracking_uri or f"sqlite:///{folder / 'mlflow.db'}")
        found = self._client.get_experiment_by_name(self.experiment)
        place = None if self.tracking_uri else (folder / "mlflow").as_uri()
        number = found.experiment_id if found else self._client.create_experiment(self.experiment, place)
        self._run_id = self.identifier(work_dir, keep_old)
        if self._run_id is None:
            self._run_id = self._client.create_run(number, run_name=folder.name).info.run_id
            self._client.log_dict(self._run_id, dict(config), "config.json")
        self.remember(work_dir, self._run_id)

    def log(self, record: Mapping[str, Any]) -> None:
        """See `Logger`."""
        for name, value in scalars(record).items():
            self._client.log_metric(self._run_id, name, value, step=record["iter"])

    def log_pictures(self, pictures: Mapping[str, np.ndarray], iteration: int) -> None:
        """See `Logger`."""
        for name, picture in pictures.items():
            self._client.log_image(self._run_id, picture[..., ::-1], f"{name}_{iteration:07d}.png")

    def close(self) -> None:
        """See `Logger`."""
        self._client.set_terminated(self._run_id)
