"""What the programs that compare runs share: flags, device and log."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def add_flags(
    parser: argparse.ArgumentParser,
    work_dir: str | None,
    seeds: Sequence[int] = (0,),
    *,
    meaning: str = "default: %(default)s",
) -> None:
    """Adds `--seeds`, `--work_dir`, `--no_cuda` and `--opts`.

    Args:
        work_dir: default of `--work_dir`.
        seeds: default of `--seeds`.
        meaning: of `--work_dir`, for the help.
    """
    add = parser.add_argument
    default = " ".join(map(str, seeds))
    help_seeds = f"of the students: weights, data order and augmentation; default: {default}"
    add("--seeds", type=int, nargs="+", default=list(seeds), help=help_seeds)
    add("--work_dir", default=work_dir, help=meaning)
    add_run_flags(parser)


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--no_cuda` and `--opts`."""
    parser.add_argument("--no_cuda", action="store_true", help="run on the CPU where a GPU is usable")
    parser.add_argument(
        "--opts", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides for all runs"
    )


def prepare(options: argparse.Namespace, work_dir: str | Path | None = None) -> Path:
    """Registers jld's parts, chooses the device, logs into `work_dir`/log.txt and returns the folder.

    Args:
        options: of a parser with `add_flags`.
        work_dir: None: that of the options.
    """
    # Imported here: --help should not wait for Jittor.
    from jld.apis import register_parts, use_device
    from jld.utils.logging import set_up_logging

    register_parts()
    use_device("cpu" if options.no_cuda else "auto")
    folder = Path(work_dir or options.work_dir)
    set_up_logging(folder / "log.txt")
    return folder
