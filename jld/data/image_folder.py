"""Images without labels, for inference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import numpy as np

from jld.data.classes import class_names
from jld.data.dataset import Dataset
from jld.data.file_names import portable, repeated, unusable
from jld.data.images import ImageReader, list_images
from jld.data.problems import raise_errors
from jld.data.text_files import read_list
from jld.data.transforms import Compose, Sample, Transform, finish_sample, new_sample
from jld.errors import ConfigError, DataError
from jld.registry import DATASETS


@DATASETS.register
class ImageFolder(Dataset):
    """Image files of a folder or of a list; samples carry no boxes.

    Args:
        images_dir: folder, searched with its subfolders; with `images_file`, what its lines are relative to.
        images_file: text file with one image path per line.
        transforms: built transforms, in order.
        classes: names that the detector's labels stand for, where they are known.
        image_reader: how image files are read, see `ImageReader`: orientation, bits, max_pixels.
    Raises:
        ConfigError: neither folder nor list is given.
        DataError: the folder or list does not exist or holds no image.
    """

    num_sides = None

    def __init__(
        self,
        images_dir: str | None = None,
        images_file: str | None = None,
        transforms: Iterable[Transform] | None = None,
        classes: str | Sequence[str] | None = None,
        *,
        image_reader: Mapping[str, Any] | None = None,
    ):
        if images_dir is None and images_file is None:
            raise ConfigError("ImageFolder needs images_dir or images_file.")
        folder = Path(images_dir or "")
        self.problems: list = []
        self.image_files = self.listed(folder, Path(images_file)) if images_file else _found(folder)
        self._ids = [_identifier(path, folder if images_dir else None) for path in self.image_files]
        self.transforms = transforms if isinstance(transforms, Compose) else Compose(transforms)
        self.classes = class_names(classes) or ()
        self.image_reader = ImageReader.of(image_reader)

    def listed(self, folder: Path, images_file: Path) -> list[Path]:
        """The images that a text file names, relative to `folder`."""
        if not images_file.is_file():
            raise DataError(f"images_file {images_file} does not exist.")
        names = read_list(images_file, "images_file")
        if not names:
            raise DataError(f"images_file {images_file} is empty.")
        return self.checked(names, folder, images_file)

    def checked(self, names: Sequence[str], folder: Path, source: Path) -> list[Path]:
        """Files with these names, which a list in `source` holds; backslashes become slashes.

        Raises:
            DataError: a name that no file can have, or one that is there twice.
        """
        raise_errors(unusable(names, source), str(source))
        names, found = portable(names, folder, source)
        places = [f"name {number}" for number in range(1, len(names) + 1)]
        raise_errors(repeated(names, places, source)[1], str(source))
        self.problems += found
        return [folder / name for name in names]

    def first(self, count: int) -> Self:
        """See `Dataset`."""
        part = copy(self)
        part.image_files, part._ids = self.image_files[:count], self._ids[:count]
        return part

    def __len__(self) -> int:
        return len(self.image_files)

    @property
    def image_ids(self) -> list[str]:
        """See `Dataset`."""
        return self._ids

    def image_file(self, index: int) -> str:
        """Path of the image behind an index."""
        return str(self.image_files[index])

    def image_sizes(self) -> np.ndarray:
        """[len(self), 2] (height, width) from the image headers."""
        return np.array([self.image_reader.size(path) for path in self.image_files], np.int64)

    def get(self, index: int, rng: np.random.Generator) -> Sample:
        """A sample as `DetectionDataset.get` gives it, with empty boxes.

        Raises:
            BrokenImageError: the image file cannot be read.
        """
        sample = new_sample(
            self.read_image(index), img_id=self.image_ids[index], img_file=self.image_file(index)
        )
        return finish_sample(self.transforms(sample, rng))


def _found(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"images_dir {folder} is no folder.")
    files = list_images(folder)
    if not files:
        raise DataError(f"images_dir {folder} holds no image file.")
    return files


def _identifier(path: Path, folder: Path | None) -> str:
    return str(path.relative_to(folder)) if folder and path.is_relative_to(folder) else str(path)
