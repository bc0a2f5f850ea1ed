"""What the tools that look at runs share: detections of a run on a split, kept beside it, and their flags."""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jld.apis.arguments import add_config_flag
from jld.apis.inference import use_device
from jld.apis.registration import register_parts
from jld.boxes.detections import Detections
from jld.config import Config, prepare_config
from jld.config.teacher import CONFIG_SUFFIXES
from jld.data import Dataset
from jld.data.results import read_results, write_plain_results
from jld.errors import ConfigError
from jld.runner import Runner, parts
from jld.runner.going_on import chosen_checkpoint, run_config
from jld.runner.state import config_text
from jld.utils.logging import get_logger


@dataclass(frozen=True, eq=False)
class Seen:
    """A run and what it finds.

    Attributes:
        name: of the run.
        config: complete.
        dataset: the split, with the classes of the run.
        detections: per image of the dataset.
    """

    name: str
    config: Config
    dataset: Dataset
    detections: Sequence[Detections]


def look(
    run: str | Path, *, config: str | None = None, checkpoint: str | None = None, split: str = "val"
) -> Seen:
    """What a run finds on a split of its data.

    Detections are kept in `<work_dir>/results/looking` under a name that follows from the weights, the data
    and the settings of detecting, and taken from there the next time.

    Args:
        run: the run's work folder or config, also by name; or weights, or a file of detections (as
            `--task=val` writes them: plain, or COCO's result file), whose model and data `config` names.
        config: of a file of weights or of detections.
        checkpoint: "best" (default), "last" or a file.
        split: "val" or another labelled one.
    Raises:
        ConfigError: no such run or split.
    """
    register_parts()
    path = Path(run)
    has_detections = path.suffix == ".json"
    has_weights = path.is_file() and path.suffix not in (".json", *CONFIG_SUFFIXES)
    if not (has_detections or has_weights):
        own, name = run_config(run), ""
    elif config:
        own, name = prepare_config(str(config)), path.stem
        if has_weights and checkpoint:
            raise ConfigError(f"{path} are weights already: leave out --checkpoint {checkpoint}.")
        if path.parent.name == "checkpoints":
            name = f"{path.resolve().parent.parent.name} {name}"  # every run has a best one
    else:
        what, need = ("detections", "the data they are of") if has_detections else ("weights", "their config")
        raise ConfigError(f"{path} are {what}: name {need} with --config-file.")
    if own.dataset[split] is None:
        raise ConfigError(f"the config of {run} has no dataset.{split}.")
    dataset = parts.build_datasets(own.dataset, (split,))[0][split]
    if has_detections:
        return Seen(name, own, dataset, _in_order(dataset, read_results(path, *_names(dataset))))
    checkpoint = str(path) if has_weights else checkpoint
    weights = chosen_checkpoint(own, checkpoint)
    kept, classes = _place(own, weights, dataset, split), dataset.classes
    if kept.is_file():
        get_logger("look").info("detections of %s from %s", weights, kept)
        found = read_results(kept, classes)
    else:
        dataset, found = Runner(own, checkpoint=checkpoint).predict(split)
        if dataset.classes == classes:
            write_plain_results(found, classes, kept)
    return Seen(name or Path(own.work_dir).resolve().name, own, dataset, _in_order(dataset, found))


def _names(dataset: Dataset) -> tuple[Sequence[str], Sequence[int]]:
    return dataset.classes, getattr(dataset, "category_ids", ())


def _in_order(dataset: Dataset, found: Sequence[Detections]) -> list[Detections]:
    """The detections in the order of the images; images without any are left out."""
    by_image = {each.img_id: each for each in found}
    ordered = [by_image.pop(image) for image in dataset.image_ids if image in by_image]
    return [*ordered, *by_image.values()]


def _place(config: Config, weights: Path, dataset: Dataset, split: str) -> Path:
    settings = {key: config[key] for key in ("model", "flip_test", "scale_test", "merge_iou_threshold")}
    text = config_text({**settings, "data": config.dataset[split], "images": list(dataset.image_ids)})
    digest = hashlib.sha256(f"{dataset.fingerprint()} {text}".encode())
    with weights.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return Path(config.work_dir) / "results" / "looking" / f"{split}_{digest.hexdigest()[:16]}.json"


def file_name(img_id: object) -> str:
    """An image's identifier as the stem of a file."""
    return re.sub(r"[^\w.-]", "_", str(img_id)) or "image"


def add_flags(parser: argparse.ArgumentParser, *, writes_pictures: bool = True) -> None:
    """The flags of every tool that looks at runs; where it writes pictures, also those of their files."""
    add = parser.add_argument
    add_config_flag(parser, "the config, where RUN is a file of weights or of detections")
    add("--checkpoint", help="best (default), last or a file; of every run")
    add("--split", default="val", help="train, val or test (default: val)")
    add("--threshold", type=float, default=0.3, help="score from which on detections count (default: 0.3)")
    if writes_pictures:
        add("--format", default="png", help="of pictures: png, jpg, pdf, svg (default: png)")
        add("--dpi", type=float, default=200, help="of pictures, and inside pdf and svg (default: 200)")
    add("--no-text", "--no_text", action="store_true", help="boxes without names and scores")
    add("--no_cuda", "--cpu", action="store_true", help="run on the CPU even beside a GPU")


def looked_at(runs: Sequence[str], options: argparse.Namespace) -> dict[str, Seen]:
    """{name: run} of the runs that the flags ask for, in their order; equal names are numbered."""
    use_device("cpu" if options.no_cuda else "auto")
    found: dict[str, Seen] = {}
    for run in runs:
        seen = look(run, config=options.config_file, checkpoint=options.checkpoint, split=options.split)
        name = seen.name if seen.name not in found else f"{seen.name} ({len(found) + 1})"
        found[name] = seen
    return found
