"""Whether a folder holds the run of a config, or another one: decided by the config.py and env.json in it.

- a fresh start may differ in lengths, intervals, paths, numbers of workers and what is evaluated;
- a resumed run may differ in everything but `model`, `distill`, the kind and classes of the training data and
  the kind of the optimizer;
- terms of distillation that are not given are those of the folder; a fresh start chooses them anew and is
  compared once more.

Files may move, but not become others. Which teachers and training data a run learnt from is noted in env.json
by their contents: a path says nothing of that, as A/train.json and B/train.json show.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jld.config import RUN_CONFIG, differing_keys, fill_defaults, is_dumped, read_written
from jld.config.config import walk
from jld.config.jdet import translate_keys
from jld.errors import ConfigError
from jld.utils.logging import get_logger

ENVIRONMENT, CHECKPOINTS = "env.json", "checkpoints"
# Where files lie and how many processes read them.
PLACES = re.compile(r"(.*\.)?(root|checkpoint|config|pretrained|num_workers|\w+_(dir|file|path))")
# Those that are compared by contents: at once, and once the data are read.
TEACHER_FILES = re.compile(r"distill\.(.*\.)?(checkpoint|config|\w+_(file|path))")
DATA_PLACES = re.compile(r"dataset\.train\.(?!num_workers)(.*\.)?\w+")
LENGTHS = (
    "work_dir|name|max_epoch|max_iter|eval_interval|checkpoint_interval|checkpoint_iters|keep_checkpoints|"
    "log_interval|logger|published|imports|flip_test|scale_test|merge_iou_threshold|best_metric"
)
FREE_AT_START = re.compile(rf"({LENGTHS}|dataset\.val|dataset\.test)(\..*)?")
FREE_WHEN_FINISHED = re.compile(
    r"work_dir|name|eval_interval|checkpoint_interval|checkpoint_iters|keep_checkpoints|log_interval|"
    r"(logger|published|imports|dataset\.val|dataset\.test)(\..*)?"
)
FIXED_IN_RESUME = re.compile(r"(model|distill|dataset\.train\.(type|classes)|optimizer(\.\w+)?\.type)(\..*)?")
SHOWN = 3

Difference = tuple[str, Any, Any]
"""(key, value of the config that starts, value in the folder)."""


def require_same_run(path: Path, config: Mapping[str, Any], *, resumed: bool) -> None:
    """Stops where the folder holds a run of another config; logs what a resumed run does differently.

    The training data are left to `require_same_data`.

    Raises:
        ConfigError: see above, or the config.py in the folder is a user's own.
    """
    if not _holds_run(path):
        return
    differences = _apart(path, config, FREE_AT_START)
    other = [each for each in differences if not resumed or FIXED_IN_RESUME.fullmatch(each[0])]
    if other:
        raise _another_run(path, f"its config.py differs in {_listed(other)}", resumed)
    if differences:
        get_logger("run").warning("going on with another config: %s.", _listed(differences))


def require_finished_run(path: Path, config: Mapping[str, Any]) -> None:
    """Stops where a finished run that is to be taken as it is learnt by another config.

    Files and folders may lie elsewhere, but teachers in other places may not be others. How it is scored is
    not compared.

    Raises:
        ConfigError: see above.
    """
    if not _holds_run(path):
        return
    differences = _apart(path, config, FREE_WHEN_FINISHED)
    if differences:
        raise _another_run(path, f"its config.py differs in {_listed(differences)}", resumed=False)


def require_same_data(
    path: Path, config: Mapping[str, Any], fingerprint: str | None, *, resumed: bool
) -> None:
    """Stops where the run in the folder learnt from other data in another place; changed data are named.

    Args:
        path: work_dir.
        config: of the run that starts.
        fingerprint: `Dataset.fingerprint` of its training data.
        resumed: it goes on from a checkpoint in the folder: other data are named, too.
    Raises:
        ConfigError: see above.
    """
    if not _holds_run(path):
        return
    train = _noted(path, "datasets").get("train")
    noted = train.get("fingerprint") if isinstance(train, Mapping) else None
    if noted == fingerprint and noted is not None:
        return
    places = [
        each
        for each in _differences(path, config)
        if PLACES.fullmatch(each[0]) and DATA_PLACES.fullmatch(each[0])
    ]
    if places and not resumed:
        raise _another_run(path, f"its training data are not those of {_listed(places)}", resumed)
    if places or None not in (noted, fingerprint):
        where = f": {_listed(places)}" if places else ", which have changed since"
        get_logger("run").warning("other training data than those of the run in %s%s.", path, where)


def known_terms(path: Path, distill: Mapping[str, Any]) -> list[Any] | None:
    """`distill.terms`, or where it is None those that the run in a folder chose; None where it holds none."""
    there = read_written(path / RUN_CONFIG).get("distill") if _holds_run(path) else None
    return (there or {}).get("terms") if distill.get("terms") is None else distill["terms"]


def teacher_contents(config: Mapping[str, Any]) -> dict[str, str]:
    """{key of `distill` that names a file: hash of what is in it}, for env.json."""
    found = {}
    for key, value in walk({"distill": config.get("distill")}):
        if TEACHER_FILES.fullmatch(key) and isinstance(value, str | Path):
            with contextlib.suppress(OSError), Path(value).open("rb") as file:
                found[key] = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    return found


def _other_teachers(
    path: Path, config: Mapping[str, Any], differences: Iterable[Difference]
) -> list[Difference]:
    """The teachers' files in another place and with other contents; those that changed in place are named."""
    noted, contents = _noted(path, "teachers"), teacher_contents(config)
    other = [
        each
        for each in differences
        if TEACHER_FILES.fullmatch(each[0]) and contents.get(each[0], "") != noted.get(each[0])
    ]
    elsewhere = {key for key, _, _ in other}
    for key, content in contents.items():
        if key not in elsewhere and content != noted.get(key, content):
            get_logger("run").warning("%s has changed since the run in %s.", key, path)
    return other


def _apart(path: Path, config: Mapping[str, Any], free: re.Pattern[str]) -> list[Difference]:
    """The differences but for places and keys that are free; teachers by their contents."""
    found = _differences(path, config)
    own = [each for each in found if not PLACES.fullmatch(each[0]) and not free.fullmatch(each[0])]
    return own + _other_teachers(path, config, found)


def _differences(path: Path, config: Mapping[str, Any]) -> list[Difference]:
    there = fill_defaults(translate_keys(read_written(path / RUN_CONFIG)))
    ours: dict[str, Any] = fill_defaults(config)
    if ours.get("distill"):
        ours = {**ours, "distill": {**ours["distill"], "terms": known_terms(path, ours["distill"])}}
    return list(differing_keys(ours, there))


def _holds_run(path: Path) -> bool:
    """Whether there is a run in the folder; without checkpoints it holds none yet."""
    written = path / RUN_CONFIG
    if written.exists() and not is_dumped(written):
        raise ConfigError(
            f"{written} was not written by a run and would be replaced by one: choose another work_dir."
        )
    return written.exists() and any((path / CHECKPOINTS).glob("*.pkl"))


def _noted(path: Path, key: str) -> Mapping[str, Any]:
    """What the run in a folder noted in env.json; {} where it noted nothing, or nothing readable."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        noted = json.loads((path / ENVIRONMENT).read_text(encoding="utf-8"))
        value = noted.get(key) if isinstance(noted, Mapping) else None
        return value if isinstance(value, Mapping) else {}
    return {}


def _another_run(path: Path, why: str, resumed: bool) -> ConfigError:
    cure = "choose another work_dir, or move that folder away"
    if resumed:
        cure = f"choose another work_dir with resume_path={path / CHECKPOINTS}/last.pkl, or that config"
    return ConfigError(f"{path} holds another run; {why}: {cure}.")


def _listed(differences: list[Difference]) -> str:
    shown = [f"{key} ({_cut(theirs)} there, {_cut(ours)} now)" for key, ours, theirs in differences[:SHOWN]]
    more = len(differences) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _cut(value: Any, limit: int = 60) -> str:
    """A value for a message; of long ones both ends, as paths differ in either."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit // 3]}...{text[-limit * 2 // 3 :]}"
