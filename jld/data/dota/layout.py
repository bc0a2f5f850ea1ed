"""How the images of a dataset relate to whole images: are they patches, of which style, whose labels
where.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jld.boxes.detections import Detections
from jld.data.dota.merge import MergeIou, merge_patches
from jld.data.dota.names import LARGEST_RATE, PATTERN, check_style, parse_patch_name
from jld.data.dota.split import MANIFEST, read_object
from jld.data.dota.submission import UNWRITABLE_CLASS
from jld.data.problems import Problem, error, warning
from jld.errors import DataError

WHOLE, AUTO = "whole", "auto"
UNWRITABLE = re.compile(r"\s|^$|[\ud800-\udfff]")


@dataclass(frozen=True)
class Layout:
    """What the images of a dataset are.

    Attributes:
        style: "jdet" or "mmrotate" for patches named in that style, "whole" for whole images.
        classes: names, in the order of the labels.
        label_names: the same classes as label files and result files spell them.
    """

    style: str
    classes: tuple[str, ...]
    label_names: tuple[str, ...]

    @classmethod
    def of(cls, image_ids: Sequence[str], classes: Sequence[str], style: str = AUTO) -> Layout:
        """The layout of images with these identifiers.

        Args:
            image_ids: file names without suffix.
            classes: names, in the order of the labels.
            style: "auto" decides by the names.
        Raises:
            ConfigError: unknown style.
            DataError: some identifiers are patch names and some are not.
        """
        if style == AUTO:
            style = detect_style(image_ids)
        return cls(style if style == WHOLE else check_style(style), tuple(classes), tuple(classes))

    def with_classes(self, names: Sequence[str], sources: Sequence[int]) -> Layout:
        """The same with other names, see `Dataset.with_classes`; the files keep theirs."""
        in_files = self.label_names or tuple(names)
        label_names = tuple(in_files[source] for source in sources)
        return replace(self, classes=tuple(names), label_names=label_names)

    @property
    def is_patches(self) -> bool:
        """Whether the images were cut from larger ones."""
        return self.style != WHOLE

    def whole_id(self, image_id: str) -> str:
        """Identifier of the whole image behind one of the images."""
        return parse_patch_name(image_id, self.style).image_id if self.is_patches else image_id

    def unwritable_names(self, image_ids: Sequence[str]) -> list[str]:
        """A sentence for images, and one for classes, whose names a result file cannot hold."""
        texts = []
        images = [name for name in dict.fromkeys(map(self.whole_id, image_ids)) if UNWRITABLE.search(name)]
        if images:
            count = f"{len(images)} image{'s' if len(images) > 1 else ''}"
            reason = "holds a space" if re.search(r"\s", images[0]) else "holds bytes that are no text"
            texts.append(f"{count} cannot be named in a result file, the name {reason}: {images[0]!r}.")
        texts += [
            f"class {name!r} cannot name a result file."
            for name in self.label_names
            if UNWRITABLE_CLASS.search(name)
        ]
        return texts

    def guess_findings(self, image_ids: Sequence[str], sizes: np.ndarray, source: object) -> list[Problem]:
        """What is to be said where only their names tell that images are patches.

        Patches of one window have one size; only where the whole image was smaller than the window, and so at
        its left or upper border, they may be smaller.

        Args:
            image_ids: file names without suffix.
            sizes: [M, 2] (height, width) of the images.
            source: their folder, for messages.
        """
        if not self.is_patches or not len(sizes):
            return []
        largest = sizes.max(axis=0)
        for image_id, (height, width) in zip(image_ids, sizes.tolist(), strict=True):
            place, middle = parse_patch_name(image_id, self.style), PATTERN.fullmatch(image_id)["middle"]
            window = [int(float(middle or 0))] * 2 if self.style == "mmrotate" else largest.tolist()
            is_short = (height < window[0] and place.y > 0) or (width < window[1] and place.x > 0)
            if is_short or height > window[0] or width > window[1]:
                text = (
                    f"{image_id} is named like a patch of {place.image_id} at ({place.x}, {place.y}), but is "
                )
                text += (
                    f"{width}x{height} px, where a window of {window[1]}x{window[0]} px was expected: write "
                )
                return [
                    error(f"{text}patch_style='whole' for whole images, '{self.style}' for patches.", source)
                ]
        first = parse_patch_name(image_ids[0], self.style)
        return [
            warning(
                f"images are taken for patches, as their names look like it: {image_ids[0]} is the part of "
                f"{first.image_id} at ({first.x}, {first.y}); for whole images write patch_style='whole'.",
                source,
            )
        ]

    def merge(self, detections: Sequence[Detections], iou_threshold: MergeIou | None) -> list[Detections]:
        """Detections of the whole images, see `merge_patches`; those of whole images only change to
        `polys`.
        """
        if self.is_patches:
            return merge_patches(detections, self.classes, style=self.style, iou_threshold=iou_threshold)
        return [
            Detections(found.img_id, found.scores, found.labels, polys=found.corners())
            for found in detections
        ]


def detect_style(image_ids: Sequence[str]) -> str:
    """Style of the identifiers: "jdet" or "mmrotate" if all are patch names, "whole" if none is.

    The styles differ in the second part: a rate is never above 16, a window never that small.

    Raises:
        DataError: some identifiers are patch names and some are not.
    """
    matches = [PATTERN.fullmatch(str(image_id)) for image_id in image_ids]
    if not any(matches):
        return WHOLE
    if not all(matches):
        patch, other = (
            next(
                str(image_id)
                for image_id, match in zip(image_ids, matches, strict=True)
                if bool(match) is kind
            )
            for kind in (True, False)
        )
        raise DataError(
            f"{patch} is named like a patch and {other} is not: keep patches and whole images apart, or say "
            "which they are with patch_style."
        )
    middles = [float(match["middle"]) for match in matches if match["middle"] is not None]
    return "mmrotate" if any(middle > LARGEST_RATE for middle in middles) else "jdet"


def label_folders_of(dataset_dir: Path) -> tuple[Path, ...]:
    """Folders of the label files that a folder of patches was cut from, as far as they are still there.

    `split_dataset` notes them in the manifest; patches made by other programs have none.
    """
    try:
        noted = [Path(folder) for folder in read_object(dataset_dir / MANIFEST).get("label_folders", ())]
    except TypeError:
        return ()
    return tuple(noted) if all(folder.is_dir() for folder in noted) else ()


def check_finished(dataset_dir: Path) -> None:
    """Stops on a folder that `split_dataset` was killed in, or still works in.

    Raises:
        DataError: the manifest says that not all patches are there.
    """
    if read_object(dataset_dir / MANIFEST).get("is_complete", True) is not True:
        raise DataError(f"{dataset_dir}: preprocessing did not finish; run tools/preprocess.py again.")
