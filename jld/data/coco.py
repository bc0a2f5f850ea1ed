"""Datasets in the COCO layout, a folder of images and one json file; CVAT and labelme are read alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from jld.boxes.detections import Detections
from jld.data.account import Losses
from jld.data.annotation_files import read_annotations
from jld.data.classes import class_names
from jld.data.coco_table import read_categories, read_table
from jld.data.dataset import DetectionDataset
from jld.data.images import ImageReader
from jld.data.problems import Problem, raise_errors
from jld.data.results import write_coco_results
from jld.data.tables import drop_images
from jld.data.transforms import Transform
from jld.errors import ConfigError, DataError
from jld.registry import DATASETS


@DATASETS.register
class COCODataset(DetectionDataset):
    """Images and boxes from a COCO json file, an xml file of CVAT, or json files of labelme.

    Crowd boxes become `boxes_ignore`; boxes below 1 px, without area or outside the image are dropped in
    training and kept for evaluation; categories that are not wanted are passed over.

    Args:
        root: folder that `file_name` in the json is relative to (alias: `images_dir`).
        anno_file: the json of COCO, the xml of CVAT ("CVAT for images 1.1"), or the folder of labelme's json
            files, which often is `root`; as a path or relative to `root` (alias: `annotations_file`).
        transforms: built transforms, in order.
        classes: which categories, and in which order they are numbered: a list of names, one name, or a text
            file with a name per line. Default: all of the json, in its order.
        filter_empty_gt: leave out images without any annotation of these classes, and images with a side
            below `min_size`. False keeps every image: for evaluation, and to train on images without objects.
        min_size: px, see above.
        times: how often one epoch visits each image.
        with_masks: read the instance masks (`segmentation`: polygons, run lengths plain or as text) as well,
            for detectors of masks; objects without a mask that can be used are ignored, see
            docs/data_rules.md. A batch holds them as "polygons" (True), which are filled in the frame of a
            RoI as in detectron2 and stay small; or as "bitmaps" of the padded images, which are cropped as in
            mmDetection and take a byte for every pixel and object. False passes over them at no cost.
        image_reader: how image files are read, see `ImageReader`: orientation, bits, max_pixels.
        strict: False collects errors in `problems` instead of raising them; what they touch is dropped.
    Raises:
        DataError: the json cannot be used; lists every reason.
    Differs: labels follow the order of `classes`; mmDetection 2 numbers them in the order of the json.
    """

    def __init__(
        self,
        root: str | None = None,
        anno_file: str | None = None,
        transforms: Iterable[Transform] | None = None,
        classes: str | Sequence[str] | None = None,
        *,
        filter_empty_gt: bool = True,
        min_size: int = 32,
        times: int = 1,
        with_masks: bool | str = False,
        image_reader: Mapping[str, Any] | None = None,
        strict: bool = True,
        images_dir: str | None = None,
        annotations_file: str | None = None,
    ):
        folder = Path(_one_of("COCODataset", root=root, images_dir=images_dir))
        given = _one_of("COCODataset", anno_file=anno_file, annotations_file=annotations_file)
        self.anno_file = find_annotations(folder, given)
        reader = ImageReader.of(image_reader)
        content, problems, lost = self._read(folder, reader, needs_annotations=filter_empty_gt)
        categories, found = read_categories(content["categories"], class_names(classes), self.anno_file)
        self.category_ids = categories.ids
        read = read_table(content, categories, folder, self.anno_file, with_masks=bool(with_masks))
        problems += found + read.problems
        lost.update(read.lost)
        if strict:
            raise_errors(problems, str(self.anno_file))
        table = drop_images(
            read.table,
            str(self.anno_file),
            min_size=min_size,
            filter_empty_gt=filter_empty_gt,
            lost=lost,
        )
        super().__init__(
            table,
            categories.names,
            transforms,
            problems,
            times=times,
            lost=lost,
            image_reader=reader,
            with_masks=with_masks,
        )

    def _read(
        self, folder: Path, reader: ImageReader, *, needs_annotations: bool
    ) -> tuple[dict[str, Any], list[Problem], Losses]:
        """See `read_annotations`."""
        return read_annotations(self.anno_file, folder, reader, needs_annotations=needs_annotations)

    def with_classes(self, names: Sequence[str], sources: Sequence[int]) -> Self:
        """See `Dataset`; results go on to name categories by their ids."""
        other = super().with_classes(names, sources)
        other.category_ids = tuple(self.category_ids[source] for source in sources)
        return other

    def write_results(self, detections: Sequence[Detections], folder: Path) -> Path:
        """`detections.bbox.json` and, with masks, `detections.segm.json`, see `write_coco_results`."""
        if self.has_masks:
            path = folder / "detections.segm.json"
            write_coco_results(detections, self.category_ids, path, what="segmentation")
        return write_coco_results(detections, self.category_ids, folder / "detections.bbox.json")


def _one_of(owner: str, **values: str | None) -> str:
    given = [value for value in values.values() if value is not None]
    if len(given) != 1:
        raise ConfigError(f"{owner} needs exactly one of {' and '.join(values)}.")
    return str(given[0])


def find_annotations(folder: Path, given: str) -> Path:
    """The annotation file as it is given, or below the image folder; there first, where it is a folder.

    Raises:
        DataError: it is in neither place.
    """
    for path in (Path(given), folder / given):
        if path.is_file():
            return path
    for path in (folder / given, Path(given)):
        if path.is_dir():
            return path
    raise DataError(f"annotation file {given} does not exist, neither as it stands nor below {folder}.")
