"""Numbers that papers and repositories published, to stand beside ours; the data is `published.json`.

Values are percentages exactly as printed by their source. Nothing here was measured with jld, and a number
that nobody printed is not there.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources

from jld.errors import ConfigError, one_of

SPLIT_IMAGES = {("COCO", "val2017"): 5000, ("VOC", "test2007"): 4952}
"""{(benchmark, split): images that are scored}, where the makers fixed them."""


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table.

    Attributes:
        id: stable name.
        method: "none" for a plain detector.
        teacher: None without one.
        student: detector and backbone.
        dataset: what was trained and scored on.
        split: what was scored.
        schedule: length of training.
        protocol: of the scores.
        metrics: {name: percentage}.
        source: where it was printed.
        notes: what one must know before comparing, "" if nothing.
    """

    id: str
    method: str
    teacher: str | None
    student: str
    dataset: str
    split: str
    schedule: str
    protocol: str
    metrics: Mapping[str, float]
    source: str
    notes: str

    def describe(self) -> str:
        """One line: method, models, schedule, split and where it was printed."""
        models = self.student if self.teacher is None else f"{self.student} from {self.teacher}"
        return f"{self.method}, {models}, {self.schedule}, {self.dataset} {self.split} ({self.source})"

    @property
    def benchmark(self) -> str:
        """The public benchmark whose images were scored: "VOC" of "VOC 07+12"."""
        return self.dataset.split()[0]

    def mismatch(self, benchmark: str | None, num_images: int) -> str:
        """Why scores on other data do not compare with this row; "" where they do.

        Args:
            benchmark: whose classes were scored, None for data of no benchmark.
            num_images: scored ones.
        """
        count = SPLIT_IMAGES.get((self.benchmark, self.split))
        if benchmark == self.benchmark and count in (None, num_images):
            return ""
        where = f"{self.dataset} {self.split}" + ("" if count is None else f" ({count} images)")
        classes = f"the classes of {benchmark}" if benchmark else "classes of its own"
        return f"it was scored on {where}, and this dataset has {classes} and {num_images} images."


@functools.cache
def published_rows() -> dict[str, PublishedRow]:
    """All rows by id, in the order of the tables."""
    text = resources.files("jld.evaluation").joinpath("published.json").read_text(encoding="utf-8")
    names = {field.name for field in fields(PublishedRow)}
    rows = {}
    for entry in json.loads(text)["rows"]:
        if set(entry) != names or entry["id"] in rows:
            raise ConfigError(
                f"published.json: row {entry.get('id')!r} occurs twice or lacks one of {sorted(names)}."
            )
        rows[entry["id"]] = PublishedRow(**entry)
    return rows


def published_row(row_id: str) -> PublishedRow:
    """The row called `row_id`, for example `ld-coco-r18-from-r101-1x-main`.

    Raises:
        ConfigError: no such row; says the nearest.
    """
    rows = published_rows()
    one_of(row_id, rows, f"no published row {row_id!r}")
    return rows[row_id]
