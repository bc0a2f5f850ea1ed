"""Images without labels whose detections become a submission: patches of a test set, or whole images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.rotated import check_version
from jld.data.dota.classes import classes_of
from jld.data.dota.jdet_labels import read_file_names
from jld.data.dota.layout import AUTO, Layout, check_finished
from jld.data.dota.results import DotaResults
from jld.data.dota.split import MANIFEST
from jld.data.image_folder import ImageFolder
from jld.data.images import BrokenImageError
from jld.data.problems import Problem, raise_errors, warning
from jld.data.transforms import Sample, Transform, finish_sample, new_sample
from jld.errors import DataError
from jld.registry import DATASETS

HEADERS_READ = 200


@DATASETS.register
class ImageDataset(DotaResults, ImageFolder):
    """Images of a DOTA-like test set without labels, whole or in patches (which their names tell).

    Args:
        images_dir: folder, searched with its subfolders; with `images_file`, what its lines are relative to.
        images_file: text file with one image path per line, or a labels.pkl of JDet.
        dataset_type: whose classes the detector has: "DOTA", "DOTA1_5", "DOTA2", "FAIR", ...
        transforms: built transforms, in order.
        classes: names in the order of the labels, instead of those of `dataset_type`.
        angle_version: of the detector's boxes.
        patch_style: "jdet" or "mmrotate" says how patches are named, "whole" that there are none.
        image_reader: how image files are read, see `ImageReader`: orientation, bits, max_pixels.
    Raises:
        ConfigError: neither folder nor list is given; unknown type, version or style.
        DataError: the folder or list does not exist or holds no image, or two images share a name.
    """

    def __init__(
        self,
        images_dir: str | None = None,
        images_file: str | None = None,
        dataset_type: str = "DOTA",
        transforms: Iterable[Transform] | None = None,
        *,
        classes: str | Sequence[str] | None = None,
        angle_version: str = "le135",
        patch_style: str = AUTO,
        image_reader: Mapping[str, Any] | None = None,
    ):
        names = classes_of(dataset_type) if classes is None else classes
        super().__init__(images_dir, images_file, transforms, names, image_reader=image_reader)
        self._ids = [path.stem for path in self.image_files]
        if len(set(self.image_ids)) != len(self.image_ids):
            twice = next(name for name in self.image_ids if self.image_ids.count(name) > 1)
            raise DataError(f"two images are called {twice}: results could not be told apart.")
        self.angle_version = check_version(angle_version)
        self.layout = Layout.of(self.image_ids, self.classes, patch_style)
        folder = self.image_files[0].parent
        check_finished(folder.parent)
        self.problems += [warning(text, folder) for text in self.result_problems()]
        if patch_style == AUTO and self.layout.is_patches and not (folder.parent / MANIFEST).is_file():
            self.problems += self._guess_findings(folder)
            raise_errors(self.problems, str(folder))

    def listed(self, folder: Path, images_file: Path) -> list[Path]:
        """See `ImageFolder`; also reads JDet's pickles."""
        if images_file.suffix != ".pkl":
            return super().listed(folder, images_file)
        return self.checked(read_file_names(images_file), folder, images_file)

    def _guess_findings(self, folder: Path) -> list[Problem]:
        """See `Layout.guess_findings`; the headers of a few images are read for it."""
        chosen = np.unique(np.linspace(0, len(self) - 1, min(HEADERS_READ, len(self))).astype(int))
        rows = []
        for index in chosen.tolist():
            with suppress(BrokenImageError):  # a missing or broken image is found by `check_dataset`
                rows.append((self.image_ids[index], self.image_reader.size(self.image_files[index])))
        sizes = np.array([size for _, size in rows], np.int64).reshape(-1, 2)
        return self.layout.guess_findings([name for name, _ in rows], sizes, folder)

    def get(self, index: int, rng: np.random.Generator) -> Sample:
        """A sample as `OrientedDataset.get` gives it, without boxes.

        Raises:
            BrokenImageError: the image file cannot be read.
        """
        nothing = np.zeros((0, 5), np.float32)
        sample = new_sample(
            self.read_image(index),
            boxes=nothing,
            boxes_ignore=nothing,
            img_id=self.image_ids[index],
            img_file=self.image_file(index),
            angle_version=self.angle_version,
        )
        return finish_sample(self.transforms(sample, rng))
