"""Turn a checkpoint into the file others download: weights only, named by its content."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

import numpy as np

import jld
from jld.checkpoint.export import text_metadata
from jld.checkpoint.names import map_name, prepared, student_part
from jld.checkpoint.reader import Checkpoint, read_checkpoint
from jld.checkpoint.safetensors_files import write_safetensors
from jld.checkpoint.training_state import averaged_weights, read_training_state
from jld.errors import CheckpointError

HASH_DIGITS = 8
# Keys of a config whose values say where something lies.
PLACES = re.compile(r"(\w+_)?(root|prefix)|checkpoint|config|pretrained(_weights)?|\w+_(dir|file|path)s?")
# A text that is a path as a whole, which may hold spaces; and paths within a text: /a/b, ~/a, C:\\a,
# \\\\host\\a, file:///a, but not the // of torchvision://resnet18.
ABSOLUTE = re.compile(
    r"^(?:file://|~?/|[A-Za-z]:[\\/]|\\\\).*$"
    r"|file://[^\s'\",;]*|(?<![\w:/.~])~?/(?!/)[^\s'\",;:]+|(?<!\w)[A-Za-z]:[\\/][^\s'\",;]*|\\\\[^\s'\",;]+"
)


def publish_model(
    source: str | Path,
    destination: str | Path,
    classes: Sequence[str] | None = None,
    config: Mapping | None = None,
    metrics: Mapping | None = None,
    use_average: bool = False,
) -> Path:
    """Write the student's weights as `<stem>-<hash>.safetensors` and return that path.

    Optimizer, scheduler, random state and any teacher are left out, and so are the places where files lie on
    this machine (`without_places`). The hash is the first eight hex digits of
    the file's SHA-256; publishing the same weights twice gives the same name.

    Args:
        source: any checkpoint `read_checkpoint` reads.
        destination: path whose folder and stem the result takes, such as `published/ld_gfl_r18.safetensors`.
        classes: class names; None takes those in the source.
        config: the resolved config as plain data; None takes that in the source. It is stored as JSON.
        metrics: such as {"AP": 0.365}; None takes those in the source, or the score of its own evaluation
            where that is the best one of its run.
        use_average: publish the running average of the weights that a training state holds.
    Raises:
        CheckpointError: the source cannot be read, has no average, or the destination cannot be written.
    """
    checkpoint = read_checkpoint(source)
    destination = Path(destination)
    if use_average:
        checkpoint.state |= _average_of(source)
    state = {}
    for name, values in prepared(student_part(checkpoint.state)[0], checkpoint.origin).items():
        mapped = map_name(name, checkpoint.origin)
        if mapped.name is not None:
            state[mapped.name] = values
    if not state:
        raise CheckpointError(f"{source} holds no weights of a student to publish.")
    meta = _metadata(checkpoint, classes, config, metrics)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent) as folder:
        draft = Path(folder) / "draft.safetensors"
        write_safetensors(draft, state, text_metadata(meta))
        with draft.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stem = destination.name.removesuffix(".safetensors")
        return draft.replace(destination.parent / f"{stem}-{digest[:HASH_DIGITS]}.safetensors")


def _average_of(source: str | Path) -> dict[str, np.ndarray]:
    average = averaged_weights(read_training_state(source))
    if not average:
        raise CheckpointError(f"{source} holds no running average; publish its plain weights instead.")
    return average


def _metadata(
    checkpoint: Checkpoint, classes: Sequence[str] | None, config: Mapping | None, metrics: Mapping | None
) -> dict:
    # Other frameworks' configs are programs in their own language and would be of no use here.
    own_config = checkpoint.meta.get("config") if checkpoint.origin == "jld" else None
    found = {
        "classes": list(classes or checkpoint.classes or ()),
        "config": dict(config) if config else own_config,
        "metrics": dict(metrics or checkpoint.meta.get("metrics") or _own_score(checkpoint.meta)),
    }
    found = {key: value for key, value in found.items() if value}
    return {"jld_version": jld.__version__} | found | without_places(found)


def _own_score(meta: Mapping) -> dict:
    # A run's later checkpoints know the best score, too, but it is not theirs.
    best = meta.get("best") or {}
    return {best["name"]: best["value"]} if best and best["iteration"] == meta["iter"] else {}


def without_places(found: Mapping[str, object]) -> dict[str, object]:
    """Config and metrics without the places where files lie on the machine that trained.

    Keys that hold places keep the names of files and lose folders, and so does every other text that is an
    absolute path or holds one. Who downloads a model learns nothing about its maker's disk from it, and equal
    weights get one name wherever they were trained.
    """
    cleaned = {}
    for key in ("config", "metrics"):
        value = found.get(key)
        if isinstance(value, str):
            with suppress(ValueError, RecursionError):  # text that is no JSON is cleaned as text
                value = json.loads(value)
        if value:
            cleaned[key] = _without_places(value, is_place=False)
    return cleaned


def _without_places(value: object, is_place: bool) -> object:
    if isinstance(value, Mapping):
        return {
            key: _without_places(item, PLACES.fullmatch(str(key)) is not None) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_places(item, is_place) for item in value]
    if not isinstance(value, str | PurePath):
        return value
    text = str(value)
    if is_place and "://" not in text.removeprefix("file://"):
        return _file_name(text)
    return ABSOLUTE.sub(lambda found: _file_name(found[0]), text)


def _file_name(path: str) -> str:
    """The last part of a path if it names a file, "" for a folder, whose name may be that of a person."""
    last = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    return last if re.fullmatch(r"[^.].*\.[A-Za-z]\w{0,11}", last) else ""
