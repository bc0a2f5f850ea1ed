"""Datasets of rotated boxes in the layouts of DOTA: whole images or patches, JDet's labels.pkl or label
files.

HRSC2016, SSDD, FAIR1M and DIOR-R are rewritten in this layout by `tools/preprocess.py` first and read with
their own `version`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.rotated import check_version
from jld.config.jdet.keys import CLASS_BALANCE
from jld.data.classes import class_names
from jld.data.dota.classes import BENCHMARKS, classes_of_version
from jld.data.dota.formats import DOTA, format_of
from jld.data.dota.ground_truth import truth_record
from jld.data.dota.labels import read_label_file
from jld.data.dota.layout import AUTO, Layout, check_finished, label_folders_of
from jld.data.dota.results import DotaResults
from jld.data.dota.split import MANIFEST
from jld.data.dota.views import Views
from jld.data.dota_coco import read_oriented_annotations
from jld.data.dota_tables import read_label_folder, read_labels_pkl
from jld.data.file_names import as_stored
from jld.data.images import ImageReader
from jld.data.oriented import OrientedDataset, OrientedTable, annotation_findings
from jld.data.problems import Problem, error, listing, raise_errors, warning
from jld.data.tables import ReadTable, count_lost, drop_images
from jld.data.transforms import Transform
from jld.errors import ConfigError, DataError
from jld.registry import DATASETS

# What a dataset_dir may hold; the first one found is read.
ANNOTATIONS = ("annfiles", "labels.pkl", "labelTxt")
LABELME = "labelme"
# The scores of single patches that are shown beside those of whole images.
PATCH_METRICS = ("AP50", "AP", "AP75")

logger = logging.getLogger(__name__)


@DATASETS.register
class DOTADataset(DotaResults, OrientedDataset):
    """Images with rotated boxes in a layout of DOTA, JDet or MMRotate.

    `dataset_dir` holds `images` and one of `annfiles` (MMRotate), `labels.pkl` (JDet) and `labelTxt` (DOTA);
    the first of these that is there is read. Patches are recognised by their names; detections in them are
    moved to the whole images for evaluation and submission.

    Args:
        dataset_dir: folder as above; or else
        images_dir, annotations_file: the folder of images, and a labels.pkl, a folder of label files, or the
            .json of a COCO export or .xml of CVAT with rotated rectangles or polygons (`jld.data.dota_coco`).
        transforms: built transforms, in order; those of `jld.data.rotated_transforms` where boxes move.
        version: DOTA's "1", "1_5" or "2", or the dataset type of `tools/preprocess.py`, such as "SSDD".
        classes: names in the order of the labels, instead of those of `version`; objects of other classes in
            label files are then passed over, and a line says which; names that match nothing are an error.
            Label files of YOLO and COCO exports name their classes themselves where it is not given.
        label_format: of a folder of label files: "dota", "yolo_obb" (`class x1 y1 ... x4 y4` in fractions of
            the image; an image without a file has no object), "rolabelimg" (xml) or "labelme" (json).
        angle_version: "le135" (JDet), "le90" or "oc"; boxes are fitted to the corners of label files as
            MMRotate does it for that version.
        filter_empty_gt: leave out images without objects and images with a side below `filter_min_size` px.
            What a detector finds in images that are left out never counts against it.
        balance_category: JDet's repetition of images with rare classes, for training.
        difficult: "ignore": objects with flag 1 (difficult) or 2 (cut by a patch border) are neither objects
            nor background in training; "train": they are objects. Default: as the makers of the annotations
            do, "train" for annfiles, "ignore" otherwise.
        patch_style: "jdet" or "mmrotate" says how patches are named, "whole" that there are none.
        whole_labels: folder or folders of the label files of the whole images, for evaluation on them;
            default: those that `tools/preprocess.py` noted in `dataset_dir`.
        times: how often one epoch visits each image.
        image_reader: how image files are read, see `ImageReader`: orientation, bits, max_pixels.
        strict: False collects errors in `problems` instead of raising them; what they touch is dropped.
    Raises:
        ConfigError: not exactly one way to find the annotations, or values that cannot be.
        DataError: annotations cannot be used; lists every reason.
    Differs: JDet replaces an image without objects by a random other one; here it is trained on as it is.
    """

    def __init__(  # noqa: PLR0913 (the signature is the schema of a config section)
        self,
        dataset_dir: str | None = None,
        images_dir: str | None = None,
        annotations_file: str | None = None,
        transforms: Iterable[Transform] | None = None,
        *,
        version: str = "1",
        classes: str | Sequence[str] | None = None,
        label_format: str = DOTA,
        angle_version: str = "le135",
        filter_empty_gt: bool = True,
        filter_min_size: int = -1,
        balance_category: bool = False,
        difficult: str | None = None,
        patch_style: str = AUTO,
        whole_labels: str | Sequence[str] | None = None,
        times: int = 1,
        image_reader: Mapping[str, Any] | None = None,
        strict: bool = True,
    ):
        images, source = _locate(dataset_dir, images_dir, annotations_file)
        reader = ImageReader.of(image_reader)
        difficult = difficult or ("train" if source.name == "annfiles" else "ignore")
        options = {"angle_version": check_version(angle_version), "difficult": difficult}
        read, names = _read(images, source, class_names(classes), version, label_format, options, reader)
        table, problems = read.table, read.problems
        self.layout = Layout.of(table.image_ids, names, patch_style)
        self.label_folders = _label_folders(dataset_dir, whole_labels)
        problems += annotation_findings(table, source) + self._missing_whole_labels(table)
        if patch_style == AUTO and not (images.parent / MANIFEST).is_file():
            problems += self.layout.guess_findings(table.image_ids, table.sizes, images)
        problems += [warning(text, images) for text in self.layout.unwritable_names(table.image_ids)]
        if strict:
            raise_errors(problems, str(source))
        min_size = max(filter_min_size, 0)
        table = drop_images(
            table, str(source), min_size=min_size, filter_empty_gt=filter_empty_gt, lost=read.lost
        )
        if balance_category:
            chosen = _balanced(table, names)
            is_left_out = ~np.isin(np.arange(len(table)), chosen)
            count_lost(table, is_left_out, "without an object to balance", read.lost)
            table = table.take(chosen)
        super().__init__(
            table,
            names,
            transforms,
            angle_version=angle_version,
            problems=problems,
            times=times,
            lost=read.lost,
            image_reader=reader,
        )

    @property
    def has_whole_labels(self) -> bool:
        """Whether these are patches, and the ground truth of the whole images is known."""
        return self.layout.is_patches and bool(self.label_folders)

    @property
    def benchmark(self) -> str | None:
        """See `Dataset`."""
        return BENCHMARKS.get(frozenset(self.classes))

    def score(
        self, detections: Sequence[Detections], evaluator: Callable, views: Views | None = None
    ) -> tuple[dict[str, Any], Sequence[Detections]]:
        """(metrics, detections) of whole images, where their ground truth is known.

        The scores on the patches then stand beside them as `patch_AP50` and so on. Where it is not known, the
        scores are those on the patches, and the protocol says so.
        """
        metrics, whole = super().score(detections, evaluator, views)
        if self.has_whole_labels:
            patches = {f"patch_{name}": metrics[name] for name in PATCH_METRICS if name in metrics}
            truth = self.whole_ground_truth(self._whole_ids(self.image_ids))
            metrics = {**evaluator(whole, truth, self.classes), **patches}
        elif self.layout.is_patches:
            metrics = {**metrics, "protocol": metrics["protocol"] + ", patches scored one by one"}
        return metrics, whole

    def whole_ground_truth(self, image_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The ground truth of whole images from their label files, see `jld.data.dota.truth_record`.

        Lines that cannot be used are left out and named in a warning.

        Raises:
            DataError: a label file cannot be read, or there is none.
        """
        records, problems = [], []
        for image_id in image_ids:
            file = _find(self.label_folders, image_id)
            if file is None:
                raise DataError(f"image {image_id} has no label file in {_joined(self.label_folders)}.")
            annotation, found = read_label_file(file)
            problems += found
            records.append(truth_record(image_id, annotation, self.layout.label_names))
        if problems:
            logger.warning("%d label lines are left out of evaluation:\n%s", len(problems), listing(problems))
        return records

    def _whole_ids(self, image_ids: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(map(self.layout.whole_id, image_ids)))

    def _missing_whole_labels(self, table: OrientedTable) -> list[Problem]:
        if not self.has_whole_labels:
            return []
        wanted = self._whole_ids(table.image_ids)
        missing = [image_id for image_id in wanted if _find(self.label_folders, image_id) is None]
        where = _joined(self.label_folders)
        return [error(f"has no label file of the whole image {image_id}.", where) for image_id in missing]


def _read(
    images: Path,
    source: Path,
    wanted: tuple[str, ...] | None,
    version: str,
    format_name: str,
    options: Mapping[str, str],
    reader: ImageReader,
) -> tuple[ReadTable, tuple[str, ...]]:
    """(table, class names) of a folder of label files, a labels.pkl, a COCO json or CVAT's xml."""
    if format_name == LABELME or (source.suffix in (".json", ".xml") and source.is_file()):
        return read_oriented_annotations(images, source, wanted, options, reader)
    default = classes_of_version(version)
    layout = format_of(format_name, source, wanted, default)
    names = wanted or layout.names or default
    if source.is_dir():
        read = read_label_folder(images, source, names, layout=layout, options=options, reader=reader)
        return read, names
    return read_labels_pkl(images, source, names, options), names


def _locate(
    dataset_dir: str | None, images_dir: str | None, annotations_file: str | None
) -> tuple[Path, Path]:
    """(folder of images, labels.pkl or folder of label files), both there."""
    if (dataset_dir is None) == (images_dir is None) or (images_dir is None) != (annotations_file is None):
        raise ConfigError("DOTADataset needs dataset_dir, or images_dir and annotations_file.")
    if dataset_dir is None:
        images, source = Path(images_dir), Path(annotations_file)
        if not source.exists():
            raise DataError(f"annotations_file {source} does not exist.")
    else:
        folder = Path(dataset_dir)
        if not folder.is_dir():
            raise DataError(f"dataset_dir {folder} is no folder; tools/preprocess.py makes it.")
        images, places = folder / "images", [folder / name for name in ANNOTATIONS]
        source = next((place for place in places if place.exists()), None)
        if source is None:
            raise DataError(f"dataset_dir {folder} holds none of {', '.join(ANNOTATIONS)}.")
    if not images.is_dir():
        raise DataError(f"{images} is no folder, but images are expected there.")
    check_finished(images.parent)
    return images, source


def _label_folders(dataset_dir: str | None, whole_labels: str | Sequence[str] | None) -> tuple[Path, ...]:
    if whole_labels is None:
        return () if dataset_dir is None else label_folders_of(Path(dataset_dir))
    folders = [whole_labels] if isinstance(whole_labels, str) else whole_labels
    for folder in folders:
        if not Path(folder).is_dir():
            raise DataError(f"whole_labels {folder} is no folder.")
    return tuple(map(Path, folders))


def _find(folders: Sequence[Path], image_id: str) -> Path | None:
    files = (folder / f"{as_stored(image_id, folder, '.txt')}.txt" for folder in folders)
    return next((file for file in files if file.is_file()), None)


def _joined(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders)) or "whole_labels"


def _balanced(table: OrientedTable, classes: Sequence[str]) -> np.ndarray:
    """Indices of images, repeated class by class as in JDet; images without objects are left out."""
    owners = np.repeat(np.arange(len(table)), np.diff(table.offsets))[~table.is_ignored]
    labels = table.labels[~table.is_ignored]
    chosen = [np.zeros(0, np.int64)]
    for label, name in enumerate(classes):
        images = np.unique(owners[labels == label])
        times, more = CLASS_BALANCE.get(name, (1, 0))
        chosen += [np.tile(images, times), images[:more]]
    return np.concatenate(chosen)
