"""Which file a resumed run goes on from: the last, or the newest sound one where that is damaged or gone.

And which one is scored and drawn: the best.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jld.checkpoint import read_training_state
from jld.config import RUN_CONFIG, Config, prepare_config
from jld.errors import CheckpointError, ConfigError
from jld.runner.state import LAST, resume
from jld.utils.logging import get_logger

if TYPE_CHECKING:
    from jld.runner.loop import TrainingLoop

BEST = "best.pkl"


def resume_newest(loop: TrainingLoop, folder: Path) -> str | None:
    """Puts a loop where the newest sound checkpoint of a run left off; damaged ones are named in warnings.

    Args:
        loop: see `jld.runner.state.resume`.
        folder: of the run's checkpoints.
    Returns:
        What `resume` says, or None where there is no checkpoint at all.
    Raises:
        CheckpointError: none is sound, or the newest sound one belongs to another model or optimizer.
    """
    log = get_logger("run")
    candidates = _newest_first(folder)
    if candidates and candidates[0].name != LAST:
        log.warning("there is no %s: going on from an older checkpoint.", folder / LAST)
    damaged = []
    for path in candidates:
        try:
            return resume(loop, path)
        except CheckpointError as error:
            if _is_sound(path):
                raise  # it does not fit, and an older one would not either
            log.warning("%s The next older checkpoint is tried.", error)
            damaged.append(path.name)
    if damaged:
        raise CheckpointError(
            f"no checkpoint in {folder} can be read ({', '.join(damaged)}): remove them to start anew, or "
            "give resume_path another file."
        )
    return None


def resume_file(loop: TrainingLoop, path: Path) -> str:
    """`resume` of a file the user chose; a damaged one is refused with the newest sound one beside it."""
    try:
        return resume(loop, path)
    except CheckpointError as error:
        if not path.exists() or _is_sound(path):
            raise
        newest = newest_sound(path.parent)
        hint = f" The newest sound checkpoint beside it is {newest}." if newest else ""
        raise CheckpointError(f"{error}{hint}") from error


def newest_sound(folder: Path) -> Path | None:
    """The file that `resume_newest` will take, or None."""
    return next((path for path in _newest_first(folder) if _is_sound(path)), None)


def _newest_first(folder: Path) -> list[Path]:
    """last.pkl, then the checkpoints of epochs from the last backwards, then the best."""
    epochs = [path for path in folder.glob("epoch_*.pkl") if re.fullmatch(r"epoch_\d+", path.stem)]
    epochs.sort(key=lambda path: int(path.stem.split("_")[1]), reverse=True)
    return [path for path in (folder / LAST, *epochs, folder / BEST) if path.is_file()]


def _is_sound(path: Path) -> bool:
    try:
        read_training_state(path)
    except CheckpointError:
        return False
    return True


def run_config(run: str | Path, overrides: Iterable[str] = ()) -> Config:
    """The complete config of a run, named by its config or its folder, which may have been moved since."""
    if (Path(run) / RUN_CONFIG).is_file():
        # What it once went on from are not its own weights.
        overrides = [f"work_dir={str(run)!r}", "resume_path=null", *overrides]
    return prepare_config(str(run), overrides)


def chosen_checkpoint(config: Mapping[str, Any], given: str | None = None) -> Path:
    """The weights that val, test and vis_test look at.

    Args:
        config: complete.
        given: a file, or "best" or "last" of the run in work_dir. None: the config's `resume_path`, else the
            best, else the last, else `pretrained_weights`.
    Raises:
        ConfigError: there are none.
    """
    folder = Path(config["work_dir"]) / "checkpoints"
    own = {"best": folder / BEST, "last": folder / LAST}
    given = given or config["resume_path"]
    if given in own and not own[given].is_file():
        raise ConfigError(f"--checkpoint {given}: there is no {own[given]}.")
    own_ones = (path for path in own.values() if path.is_file())
    path = own.get(given or "") or given or next(own_ones, None) or config["pretrained_weights"]
    if path is None:
        raise ConfigError(
            f"there are no weights to run: {own['last']} does not exist; train first or give --checkpoint."
        )
    return Path(path)


def why_best(path: Path, meta: Mapping[str, Any]) -> str:
    """What is said of the best weights of a run where nobody asked for them, from what their file says."""
    best = meta.get("best") or {}
    if path.name != BEST or not best:
        return ""
    score = f"{best['name']} {best['value']:.4f}"
    return f", the best of this run ({score} on dataset.val); --checkpoint last takes the last weights"
