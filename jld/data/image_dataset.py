"""Images without labels whose detections become a submission: patches of a test set, or whole images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from jld.boxes.rotated import check_version
from jld.data.dota.classes import classes_of
from jld.data.dota.jdet_labels import read_file_names
from jld.data.dota.layout import AUTO, Layout
from jld.data.dota.results import DotaResults
from jld.data.image_folder import ImageFolder
from jld.data.transforms import Sample, finish_sample, new_sample
from jld.errors import DataError
from jld.registry import DATASETS


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
    Raises:
        ConfigError: neither folder nor list is given; unknown type, version or style.
        DataError: the folder or list does not exist or holds no image, or two images share a name.
    """

    def __init__(
        self,
        images_dir: str | None = None,
        images_file: str | None = None,
        dataset_type: str = "DOTA",
        transforms: Iterable[Callable] | None = None,
        *,
        classes: str | Sequence[str] | None = None,
        angle_version: str = "le135",
        patch_style: str = AUTO,
    ):
        names = classes_of(dataset_type) if classes is None else classes
        super().__init__(images_dir, images_file, transforms, names)
        self.image_ids = [path.stem for path in self.image_files]
        if len(set(self.image_ids)) != len(self.image_ids):
            twice = next(name for name in self.image_ids if self.image_ids.count(name) > 1)
            raise DataError(f"two images are called {twice}: results could not be told apart.")
        self.angle_version = check_version(angle_version)
        self.layout = Layout.of(self.image_ids, self.classes, patch_style)

    def listed(self, folder: Path, images_file: Path) -> list[Path]:
        """See `ImageFolder`; also reads JDet's pickles."""
        if images_file.suffix != ".pkl":
            return super().listed(folder, images_file)
        return [folder / name for name in read_file_names(images_file)]

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
