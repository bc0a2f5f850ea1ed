"""What a detector found in one image: NumPy arrays for evaluation, result files and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jld.boxes.rotated.corners import shapes_to_polys
from jld.errors import DataError

FORMS = {"boxes": 4, "rboxes": 5, "polys": 8}
"""{how objects may be given: numbers of each}."""


@dataclass(frozen=True, eq=False)
class Detections:
    """K objects found in one image, in exactly one of three forms.

    For Python code that reads dicts, items are those of the result files: `found["boxes"]` are the boxes as
    the detector predicts them, [K, 4] or rotated [K, 5]; corners stand under `polys` instead.

    Attributes:
        img_id: of the image.
        scores: [K] float32 in 0..1.
        labels: [K] int64, 0-based.
        boxes: [K, 4] xyxy px; or
        rboxes: [K, 5] centre, width, height in px and angle in radians; or
        polys: [K, 8] four corners x, y in px.
        masks: K run-length encodings in COCO's form, {"size": [height, width], "counts": text}; None without.
    Raises:
        DataError: not exactly one form, or arrays that do not fit each other.
    """

    img_id: Any
    scores: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray | None = None
    rboxes: np.ndarray | None = None
    polys: np.ndarray | None = None
    masks: Sequence[Mapping[str, Any]] | None = None

    def __post_init__(self):
        given = [form for form in FORMS if getattr(self, form) is not None]
        if len(given) != 1:
            raise DataError(
                f"image {self.img_id!r}: detections need exactly one of {', '.join(FORMS)}, got {given}."
            )
        self._set("scores", np.asarray(self.scores, np.float32).reshape(-1))
        self._set("labels", np.asarray(self.labels, np.int64).reshape(-1))
        shapes, width = np.asarray(getattr(self, given[0])), FORMS[given[0]]
        self._set(given[0], shapes if shapes.size else shapes.reshape(0, width))
        count = len(self.scores)
        lengths = {len(self.labels), *([] if self.masks is None else [len(self.masks)])}
        if self.shapes.shape != (count, width) or lengths != {count}:
            masks = "" if self.masks is None else f" and {len(self.masks)} masks"
            raise DataError(
                f"image {self.img_id!r}: {given[0]} of shape {list(shapes.shape)} come with {count} scores, "
                f"{len(self.labels)} labels{masks}; expected are [{count}, {width}] and as many of each."
            )

    def _set(self, name: str, value: np.ndarray) -> None:
        object.__setattr__(self, name, value)

    @property
    def form(self) -> str:
        """Which of the three forms is given."""
        return next(form for form in FORMS if getattr(self, form) is not None)

    @property
    def shapes(self) -> np.ndarray:
        """[K, 4], [K, 5] or [K, 8]: the objects in the form that is given."""
        return getattr(self, self.form)

    def corners(self) -> np.ndarray:
        """[K, 8] float64 px: the corners of the objects, whatever their form."""
        return shapes_to_polys(self.shapes)

    def to_plain(self) -> dict[str, Any]:
        """The items as json takes them."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in self._items().items()}

    def _items(self) -> dict[str, Any]:
        key = "polys" if self.polys is not None else "boxes"
        items = {"img_id": self.img_id, key: self.shapes, "scores": self.scores, "labels": self.labels}
        return items if self.masks is None else {**items, "masks": list(self.masks)}

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        scores = f", scores {self.scores.max():.2f} to {self.scores.min():.2f}" if len(self) else ""
        return f"{type(self).__name__}({self.img_id!r}: {self.counts() or 'nothing'}{scores})"

    def counts(self) -> str:
        """How many of what, the most frequent first, such as "24 cell, 1 dirt"; "" for nothing."""
        return ", ".join(f"{count} {name}" for name, count in Counter(self.names).most_common())

    @property
    def names(self) -> list[str]:
        """K names of what was found: the labels as text, as long as nobody knows better."""
        return [str(label) for label in self.labels.tolist()]

    def __getitem__(self, key: str) -> Any:
        return self._items()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def keys(self) -> list[str]:
        """Names of the items."""
        return list(self._items())
