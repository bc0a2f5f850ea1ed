"""Where every image and object of a dataset went: trained on, ignored or dropped, and for which reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Tally:
    """Counts by reason, each with its first example."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, example: object, count: int = 1) -> None:
        """Counts `count` more for a reason; the example of the first call stays."""
        if count:
            self.counts[reason] = self.counts.get(reason, 0) + int(count)
            self.examples.setdefault(reason, str(example))

    def update(self, more: Tally) -> None:
        """Adds other counts."""
        for reason, count in more.counts.items():
            self.add(reason, more.examples[reason], count)

    @property
    def total(self) -> int:
        """All counts together."""
        return sum(self.counts.values())

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """{reason: {"count", "example"}}."""
        return {
            reason: {"count": count, "example": self.examples[reason]}
            for reason, count in self.counts.items()
        }

    def __str__(self) -> str:
        return "; ".join(
            f"{count} {reason}, first: {self.examples[reason]}" for reason, count in self.counts.items()
        )


@dataclass
class Losses:
    """What a reader left behind before a table of annotations was made."""

    images: Tally = field(default_factory=Tally)
    objects: Tally = field(default_factory=Tally)

    def update(self, more: Losses) -> None:
        """Adds what another reader left behind."""
        self.images.update(more.images)
        self.objects.update(more.objects)


@dataclass(frozen=True)
class Account:
    """Every image and object that the files of a dataset name, each counted once.

    images = images_used + images_left_out.total, objects = trained + ignored.total + dropped.total; dropped
    objects are background; so are ignored ones (crowds, difficult ones) to an assigner that passes them over.
    per_class counts the trained objects, {} for images without labels.
    """

    images: int
    images_used: int
    images_left_out: Tally
    objects: int
    trained: int
    ignored: Tally
    dropped: Tally
    per_class: Mapping[str, int]

    def describe(self) -> str:
        """A few lines for the log."""
        rows = [
            f"{self.images} images: {self.images_used} used{_part('left out', self.images_left_out)}",
            f"{self.objects} objects: {self.trained} trained on{_part('ignored', self.ignored)}"
            f"{_part('dropped', self.dropped)}",
        ]
        missing = [name for name, count in self.per_class.items() if not count]
        if missing:
            rows.append(f"without an object: {', '.join(missing[:8])}{', ...' if len(missing) > 8 else ''}")
        return "\n".join(rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a json file."""
        return {
            "images": self.images,
            "images_used": self.images_used,
            "images_left_out": self.images_left_out.as_dict(),
            "objects": self.objects,
            "trained": self.trained,
            "ignored": self.ignored.as_dict(),
            "dropped": self.dropped.as_dict(),
            "per_class": dict(self.per_class),
        }


Fate = tuple[str, str, np.ndarray]
"""(kind, reason, mask over the rows): kind is "dropped" or "ignored"."""


def account_of(table: Any, fates: Iterable[Fate], lost: Losses, classes: Sequence[str]) -> Account:
    """The account of a table of annotations.

    Args:
        table: see `jld.data.tables.AnnotationTable`, each image once.
        fates: in order; an object counts under the first whose mask holds.
        lost: what is not in the table any more.
        classes: names, in the order of the labels.
    """
    owners = np.repeat(np.arange(len(table)), np.diff(table.offsets))
    is_open = np.ones(len(table.labels), bool)
    tallies = {"ignored": Tally(), "dropped": Tally(dict(lost.objects.counts), dict(lost.objects.examples))}
    for kind, reason, mask in fates:
        rows = np.flatnonzero(mask & is_open)
        if len(rows):
            row = rows[0]
            example = f"{classes[table.labels[row]]} of image {table.image_ids[owners[row]]}"
            tallies[kind].add(reason, example, len(rows))
        is_open &= ~mask
    counts = np.bincount(table.labels[is_open], minlength=len(classes))
    return Account(
        images=len(table) + lost.images.total,
        images_used=len(table),
        images_left_out=lost.images,
        objects=len(table.labels) + lost.objects.total,
        trained=int(is_open.sum()),
        ignored=tallies["ignored"],
        dropped=tallies["dropped"],
        per_class=dict(zip(classes, counts.tolist(), strict=False)),
    )


def account_of_images(count: int) -> Account:
    """The account of images without labels."""
    return Account(count, count, Tally(), 0, 0, Tally(), Tally(), {})


def _part(title: str, tally: Tally) -> str:
    return f", {tally.total} {title} ({tally})" if tally.total else ""
