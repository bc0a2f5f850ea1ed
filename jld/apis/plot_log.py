"""Draws loss, learning-rate and accuracy curves of one or several runs into one picture.

Usage: jld plot_log work_dirs/plain work_dirs/ld [--keys total_loss eval/AP] [--out curves.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from jld.apis.program import program
from jld.visualization.curves import curves_figure, read_log
from jld.visualization.figures import write_figure


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("work_dirs", nargs="+", help="work folders of runs, or their log.jsonl files")
    parser.add_argument(
        "--names", nargs="+", help="names of the runs in the legend (default: the folders' names)"
    )
    parser.add_argument(
        "--keys", nargs="+", help="panels, such as total_loss lr eval/AP (default: what was logged)"
    )
    parser.add_argument("--x", default="iter", choices=("iter", "epoch"), help="the x axis")
    parser.add_argument("--smoothing", type=int, help="points per average of a training curve; 1 for none")
    parser.add_argument("--title", default="", help="written above the panels")
    parser.add_argument("--out", default="curves.png", help="a png, pdf or svg (default: curves.png)")
    parser.add_argument("--dpi", type=float, default=100, help="of a png (default: 100)")
    arguments = parser.parse_args(words)
    if arguments.names and len(arguments.names) != len(arguments.work_dirs):
        parser.error(f"{len(arguments.work_dirs)} runs came with {len(arguments.names)} names.")
    return arguments


def run_names(work_dirs: list[str]) -> list[str]:
    """Folder names, or the paths as given where two folders have the same name."""
    paths = [Path(folder) for folder in work_dirs]
    names = [(path.parent if path.suffix == ".jsonl" else path).resolve().name for path in paths]
    return names if len(set(names)) == len(names) else list(work_dirs)


@program
def main(words: Sequence[str] | None = None) -> None:
    """Reads the logs and writes the picture."""
    arguments = parse_arguments(words)
    names = arguments.names or run_names(arguments.work_dirs)
    runs = {name: read_log(folder) for name, folder in zip(names, arguments.work_dirs, strict=True)}
    figure = curves_figure(
        runs, arguments.keys, x_key=arguments.x, smoothing=arguments.smoothing, title=arguments.title
    )
    path = write_figure(arguments.out, figure, arguments.dpi)
    print(f"{path}: {figure.get_figwidth():g} x {figure.get_figheight():g} inches, {len(runs)} runs")
