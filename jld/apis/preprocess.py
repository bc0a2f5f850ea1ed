"""Cuts DOTA-like datasets into patches, and rewrites FAIR1M, SSDD, HRSC2016 and DIOR-R in the layout of DOTA
first.

Usage: jld preprocess CONFIG [--workers N|ADDRESS] [--skip-malformed] [--clear]

Config files are those of JDet (docs of the keys: jld/data/dota/preprocess.py). A killed run is continued by
the same command. --clear removes the patches a former run made, never the source.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from tqdm import tqdm

from jld.apis.arguments import ConfigParser
from jld.apis.program import program
from jld.config import apply_overrides, load_config
from jld.data.dota import SplitTask, read_plan, remove_result, split_dataset
from jld.utils import stopping


class Progress:
    """A bar with the time left; images of a former run come in one step and say nothing about the speed."""

    def __init__(self, name: str):
        self.name = name
        self.bar: tqdm | None = None

    def __call__(self, done: int, total: int) -> None:
        """Shows that `done` of `total` images are cut."""
        if self.bar is None:
            self.bar = tqdm(total=total, initial=done, desc=self.name, unit="image")
        self.bar.update(done - self.bar.n)
        if done == total:
            self.bar.close()


def split(task: SplitTask, num_workers: int | str, skip_malformed: bool) -> None:
    """Makes the patches of one task."""
    manifest = split_dataset(
        task.sources(),
        task.target,
        task.settings,
        classes=task.classes,
        num_workers=num_workers,
        skip_malformed=skip_malformed,
        image_reader=task.image_reader,
        on_progress=Progress(task.target.name),
    )
    objects = "" if task.classes is None else f" with {manifest['num_objects']} objects"
    print(f"{task.target}: {manifest['num_patches']} patches of {manifest['num_images']} images{objects}.")
    if manifest["left_out"]:
        print(f"{len(manifest['left_out'])} label lines were left out; see manifest.json.")


def run(arguments: argparse.Namespace) -> None:
    """Does what the config asks for, or removes what it made."""
    conversions, tasks = read_plan(apply_overrides(load_config(arguments.config_file), arguments.opts))
    if arguments.clear:
        for task in tasks:
            removed = remove_result(task.target)
            print(f"{task.target}: {'removed' if removed else 'no patches of ours there, nothing removed'}.")
        return
    for conversion in conversions:
        count = conversion.run(arguments.workers)
        print(f"{conversion.target}: {count} images of {conversion.dataset_type} in the layout of DOTA.")
    for task in tasks:
        split(task, arguments.workers, arguments.skip_malformed)


def workers(text: str) -> int | str:
    """A number of processes, or the address of a scheduler as it is."""
    return text if "://" in text else int(text)


@program
def main(words: Sequence[str] | None = None) -> None:
    """Cuts the datasets of a config, or removes what was cut."""
    parser = ConfigParser(
        description=" ".join(__doc__.split("\n\n", 1)[0].split()), meaning="a preprocessing config"
    )
    parser.add_argument(
        "--workers",
        type=workers,
        default=os.cpu_count() or 1,
        metavar="N|ADDRESS",
        help="processes, each with one image; or a Dask scheduler (tcp://host:8786) whose workers see "
        "the same folders",
    )
    parser.add_argument(
        "--skip-malformed", action="store_true", help="leave out label lines that cannot be used"
    )
    parser.add_argument("--clear", action="store_true", help="only remove the patches of this config")
    arguments = parser.parse_args(words)
    try:
        run(arguments)
    except stopping.Stopped as stop:
        stop.saved = "The same command goes on from here."
        raise
