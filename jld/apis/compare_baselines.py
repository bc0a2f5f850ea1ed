"""Collect the scores of many runs into one table beside the published rows, as Markdown or CSV.

The scores of a work folder are those of --task=val (results/metrics.json), or the last in its log.jsonl; the
row it claims stands in its config.py as published=dict(row=...). Rows without a run stay empty.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from jld.apis.program import program
from jld.errors import ConfigError
from jld.evaluation.baselines import (
    baseline_lines,
    baselines_csv,
    baselines_markdown,
    find_runs,
    read_run,
    seeds_table,
)

WRITERS = {".md": baselines_markdown, ".csv": baselines_csv}


@program
def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, collect, write or print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "work_dirs", nargs="*", metavar="WORK_DIR", help="work folders, or folders of work folders"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="table.md or table.csv (default: Markdown on the screen)"
    )
    parser.add_argument("--rows", default="*", metavar="PATTERN", help="only rows such as 'ld-coco-*'")
    parser.add_argument("--measured", action="store_true", help="leave out the rows that nobody measured")
    parser.add_argument(
        "--gain_over",
        metavar="KIND",
        help="print mean, deviation and gain of runs <kind>_seed<number>, such as --gain_over student",
    )
    options = parser.parse_args(arguments)
    writer = WRITERS.get(Path(options.out).suffix) if options.out else baselines_markdown
    if writer is None:
        raise ConfigError(f"--out {options.out}: the name must end in {' or '.join(WRITERS)}.")
    runs = [read_run(path) for folder in options.work_dirs for path in find_runs(folder)]
    if options.gain_over:
        print(seeds_table(runs, options.gain_over))
        return
    lines = baseline_lines(runs, options.rows)
    lines = [line for line in lines if line.run or not options.measured]
    text = writer(lines)
    if options.out:
        Path(options.out).write_text(text, encoding="utf-8")
    measured = sum(line.run is not None for line in lines)
    print(f"{options.out}: {len(lines)} lines, {measured} measured" if options.out else text)
