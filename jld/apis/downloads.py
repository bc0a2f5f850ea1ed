"""Fetches published weights by name.

Usage: jld download torchvision://resnet18 gfl_r101_ms_2x_coco (`jld list weights` shows the names)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from jld.apis.program import program
from jld.checkpoint.weights import obtain
from jld.utils.logging import set_up_logging


@program
def main(arguments: Sequence[str] | None = None) -> None:
    """Fetches what is not there yet and prints where each file lies."""
    parser = argparse.ArgumentParser(
        description="Fetches published weights by name; `jld list weights` shows the names. ImageNet weights "
        "go to $JLD_WEIGHTS (~/.cache/jld/weights), detectors to ./weights. $JLD_MIRROR names another server."
    )
    parser.add_argument("names", nargs="+", metavar="NAME")
    set_up_logging()
    for name in parser.parse_args(arguments).names:
        print(obtain(name))
