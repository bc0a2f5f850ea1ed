"""What many runs measured, line by line beside the published rows their configs name.

A row that no run claims keeps its place with empty fields: no number is filled in that nobody measured.
"""

from __future__ import annotations

import csv
import fnmatch
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jld.config import RUN_CONFIG, plain_assignments
from jld.errors import ConfigError, DataError, one_of, suggestion, visible
from jld.evaluation.published import PublishedRow, published_row, published_rows
from jld.evaluation.significance import Score, paired_gain
from jld.evaluation.tables import format_seeds

SOURCES = ("results/metrics.json", "metrics.json", "log.jsonl")
"""Where a work folder keeps its scores, best first: of `--task=val`, of a comparison, of the training."""
_ABOUT = (
    "row",
    "method",
    "teacher",
    "student",
    "dataset",
    "split",
    "schedule",
    "protocol",
    "source",
    "notes",
)
# Counts stand among the scores; what is larger than any of them is no number to compare.
LARGEST_SCORE = 1e15
_RUN = ("run", "run_protocol", "run_file", "run_iteration", "run_note")


@dataclass(frozen=True)
class RunScores:
    """The scores of one work folder.

    Attributes:
        name: of the folder.
        row: id of the published row its config claims, or None.
        metrics: {name: percentage}; undefined ones are left out.
        protocol: of the scores, "" where the file does not say.
        file: where they were read, relative to the folder.
        iteration: of the training, where the scores come from its log.
        benchmark: whose classes were scored, None for data of no benchmark.
        num_images: scored ones; None where no file says it, as of runs of earlier versions.
    """

    name: str
    row: str | None
    metrics: Mapping[str, float]
    protocol: str
    file: str
    iteration: int | None = None
    benchmark: str | None = None
    num_images: int | None = None


@dataclass(frozen=True)
class BaselineLine:
    """A published row, a run, or a run beside its row; `note` says why a run is without the row it claims."""

    row: PublishedRow | None
    run: RunScores | None
    note: str = ""

    @property
    def differences(self) -> dict[str, float]:
        """{metric: measured - published} in percent, of the metrics that both have."""
        if self.row is None or self.run is None:
            return {}
        ours, theirs = self.run.metrics, self.row.metrics
        return {name: ours[name] - theirs[name] for name in theirs if name in ours}


def find_runs(folder: str | Path) -> list[Path]:
    """The work folders in a folder: itself if it has scores, else those right below it that have.

    Raises:
        DataError: there is none.
    """
    folder = Path(folder)
    if _score_file(folder) is not None:
        return [folder]
    found = sorted(path for path in folder.glob("*") if _score_file(path) is not None)
    if not found:
        raise DataError(
            f"{folder}: no work folder with scores here or right below; looked for {', '.join(SOURCES)} (run "
            "tools/run_net.py --task=val first)."
        )
    return found


def read_run(work_dir: str | Path) -> RunScores:
    """The scores of a work folder and the published row that its config.py names; the config is not run.

    Raises:
        DataError: no scores, or a broken file.
        ConfigError: its config is no Python, or names a row that is not there.
    """
    work_dir = Path(work_dir)
    file = _score_file(work_dir)
    if file is None:
        raise DataError(f"{work_dir}: no scores; looked for {', '.join(SOURCES)}.")
    try:
        record = (
            _last_evaluation(work_dir / file) if file.endswith("l") else json.loads(_text(work_dir / file))
        )
    except (ValueError, RecursionError) as error:
        raise DataError(f"{work_dir / file}: not json ({error}).") from error
    if not isinstance(record, dict):
        raise DataError(f"{work_dir / file}: holds a {type(record).__name__}, not scores by name.")
    metrics = {
        name: 100 * float(value)
        for name, value in record.items()
        if name not in ("iter", "epoch", "time") and _is_score(value)
    }
    iteration = record.get("iter")
    benchmark, num_images = _scored_data(work_dir, record)
    return RunScores(
        work_dir.resolve().name,
        _claimed_row(work_dir),
        metrics,
        str(record.get("protocol", "")),
        file,
        iteration if isinstance(iteration, int) else None,
        benchmark,
        num_images,
    )


def _is_score(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LARGEST_SCORE


def baseline_lines(runs: Iterable[RunScores], pattern: str = "*") -> list[BaselineLine]:
    """All published rows whose id fits the pattern, each with the runs that claim it, then the other runs.

    A run on other data than its row's, whose config inherited the claim, is one of the others.

    Args:
        pattern: with `*` and `?`, such as `ld-coco-*`; runs of other rows are left out.
    Raises:
        ConfigError: no row fits.
    """
    rows = {row_id: row for row_id, row in published_rows().items() if fnmatch.fnmatch(row_id, pattern)}
    if not rows:
        raise ConfigError(f"no published row fits {pattern!r}: {suggestion(pattern, published_rows())}")
    of_row: dict[str, list[RunScores | None]] = {}
    others = []
    for run in runs:
        row = rows.get(run.row) if run.row else None
        note = _mismatch(row, run) if row else ""
        if run.row is None or note:
            others.append(BaselineLine(None, run, note))
        elif row:
            of_row.setdefault(row.id, []).append(run)
    lines = [BaselineLine(row, run) for row_id, row in rows.items() for run in of_row.get(row_id) or [None]]
    return lines + others


def _mismatch(row: PublishedRow, run: RunScores) -> str:
    why = (
        "its files do not say what was scored; --task=val scores it again."
        if run.num_images is None
        else row.mismatch(run.benchmark, run.num_images)
    )
    return f"published row {row.id} is not shown: {why}" if why else ""


def baselines_csv(lines: Sequence[BaselineLine]) -> str:
    """One line per row and run, with published_X, measured_X and difference_X for every metric X of a row."""
    names = list(dict.fromkeys(name for line in lines if line.row for name in line.row.metrics))
    if not names:
        names = list(dict.fromkeys(name for line in lines if line.run for name in line.run.metrics))
    scores = [f"{kind}_{name}" for name in names for kind in ("published", "measured", "difference")]
    text = io.StringIO()
    columns = [*_ABOUT, *_RUN, *scores]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_inert, columns))
    for line in lines:
        found = _fields(line, names)
        writer.writerow([_inert(found.get(column)) for column in columns])
    return text.getvalue()


def _fields(line: BaselineLine, names: Sequence[str]) -> dict[str, object]:
    row, run, found = line.row, line.run, {}
    if row is not None:
        found = {key: getattr(row, key) for key in _ABOUT if key != "row"} | {"row": row.id}
    if run is not None:
        found |= {"run": run.name, "run_protocol": run.protocol, "run_file": run.file}
        found |= {"run_iteration": run.iteration, "run_note": line.note}
    kinds = (
        ("published", row.metrics if row else {}),
        ("measured", run.metrics if run else {}),
        ("difference", line.differences),
    )
    for kind, values in kinds:
        found |= {f"{kind}_{name}": _rounded(values[name]) for name in names if name in values}
    return found


def _inert(value: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = visible(value, keep="")
    is_formula = text.startswith(("=", "+", "-", "@")) and not re.fullmatch(r"[-+]?\d+(\.\d+)?", text)
    return f"'{text}" if is_formula else text


def _rounded(percent: float) -> str:
    return f"{percent:.2f}".removesuffix("0")


def seeds_table(runs: Iterable[RunScores], base: str) -> str:
    """Runs `<kind>_seed<number>` as one line per kind: mean, deviation, and the gain over the kind `base`.

    The gain is of the seeds that both kinds have; its interval is over the seeds alone.

    Raises:
        ConfigError: no run of `base`, or a kind that shares no seed with it.
    """
    kinds: dict[str, dict[int, RunScores]] = {}
    for run in runs:
        if match := re.fullmatch(r"(.+)_seed(\d+)", run.name):
            kinds.setdefault(match[1], {})[int(match[2])] = run
    one_of(base, kinds, f"no run is called {base}_seed<number>")
    gains = {}
    for kind, each in kinds.items():
        shared = sorted(each.keys() & kinds[base].keys())
        if not shared:
            raise ConfigError(f"{kind} and {base} share no seed: nothing can be paired.")
        if kind != base:
            own, others = ([_constant(side[seed]) for seed in shared] for side in (each, kinds[base]))
            gains[kind] = paired_gain(own, others, num_images=1)
    names = [name for name in kinds[base][min(kinds[base])].metrics if re.fullmatch(r"AP(50|75)?", name)]
    lines = {kind: [_fractions(each[seed]) for seed in sorted(each)] for kind, each in kinds.items()}
    return format_seeds(lines, gains, names=names, drawn="seeds")


def _constant(run: RunScores) -> Score:
    return lambda weights: run.metrics["AP"] / 100


def _fractions(run: RunScores) -> dict[str, Any]:
    return {"protocol": run.protocol, **{name: value / 100 for name, value in run.metrics.items()}}


@dataclass
class _Section:
    """Lines under one title of the Markdown text, with the metrics any of their rows has."""

    lines: list[BaselineLine] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)


def baselines_markdown(lines: Sequence[BaselineLine]) -> str:
    """A table per dataset, split and protocol; `published / measured (difference)` in percent."""
    sections: dict[str, _Section] = {}
    for line in lines:
        row, run = line.row, line.run
        title = f"{row.dataset}, {row.split}, {row.protocol}" if row else "Runs without a published row"
        section = sections.setdefault(title, _Section())
        section.lines.append(line)
        section.names |= dict.fromkeys(row.metrics if row else run.metrics if run else ())
    parts = [
        "Percent: published alone, or published / measured with jld (difference). Rows without a run were "
        "not measured."
    ]
    for title, section in sections.items():
        is_published = section.lines[0].row is not None
        about = ["row", "method", "student", "teacher", "schedule"] if is_published else []
        header = [*about, *section.names, "run", *(["source"] if is_published else [])]
        table = [header, ["---"] * len(header), *(_cells(line, section.names) for line in section.lines)]
        text = "\n".join("| " + " | ".join(map(_escaped, cells)) + " |" for cells in table)
        parts.append(f"## {title}\n\n{text}")
    return "\n\n".join(parts) + "\n"


def _cells(line: BaselineLine, names: Iterable[str]) -> list[str]:
    row, run = line.row, line.run
    about = [row.id, row.method, row.student, row.teacher or "", row.schedule] if row else []
    scores = [_score(line, name) for name in names]
    where = f"{run.name} ({run.protocol or run.file})" if run else ""
    where += f"; {line.note}" if line.note else ""
    return [*about, *scores, where, *([row.source] if row else [])]


def _score(line: BaselineLine, name: str) -> str:
    published = line.row.metrics.get(name) if line.row else None
    measured = line.run.metrics.get(name) if line.run else None
    texts = ["" if value is None else f"{value:.1f}" for value in (published, measured)]
    if measured is None:
        return texts[0]
    if published is None:
        return texts[1]
    return f"{texts[0]} / {texts[1]} ({measured - published:+.1f})"


def _escaped(text: str) -> str:
    """A table cell in which nothing is a link, an image, code or HTML."""
    text = visible(text, keep="\n").replace("\n", " ")
    return re.sub(r"[&<>\[\]`|\\]", lambda found: f"&#{ord(found[0])};", text)


def _score_file(work_dir: Path) -> str | None:
    for name in SOURCES:
        path = work_dir / name
        if path.is_file() and (path.suffix == ".json" or _last_evaluation(path)):
            return name
    return None


def _last_evaluation(path: Path) -> dict:
    """{metric: fraction, "iter": ...} of the last line that holds an evaluation; {} if none does."""
    for text in reversed(_text(path).splitlines()):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):  # a run that was killed leaves half a line
            continue
        if not isinstance(record, dict):
            continue
        scores = {
            name.removeprefix("eval/"): value for name, value in record.items() if name.startswith("eval/")
        }
        if scores:
            return scores | {"iter": record.get("iter")}
    return {}


def _scored_data(work_dir: Path, record: Mapping) -> tuple[str | None, int | None]:
    """(benchmark, number of images) that scores were made on: `--task=val` writes them beside the scores, a
    training into env.json; (None, None) where neither did.
    """
    about, images = record.get("run"), "images"
    environment = work_dir / "env.json"
    if about is None and environment.is_file():
        try:
            about, images = json.loads(_text(environment))["datasets"]["val"], "images_used"
        except (ValueError, RecursionError, KeyError, TypeError):
            about = None
    if not isinstance(about, dict) or "benchmark" not in about or type(about.get(images)) is not int:
        return None, None
    return None if about["benchmark"] is None else str(about["benchmark"]), about[images]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error


def _claimed_row(work_dir: Path) -> str | None:
    config = work_dir / RUN_CONFIG
    if not config.is_file():
        return None
    values, odd = plain_assignments(config)
    if "published" in odd:
        raise ConfigError(f"{config}, line {odd['published']}: published must be plain, as dict(row=...).")
    published = values.get("published")
    row = published.get("row") if isinstance(published, dict) else None
    return published_row(row).id if isinstance(row, str) else None
