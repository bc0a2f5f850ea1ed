"""A whole split of a dataset becomes patches: over worker processes, restartable, with a manifest.

<target>/images/<patch>.png, <target>/labelTxt/<patch>.txt (annfiles in the style of MMRotate),
<target>/labels.pkl   what JDet's datasets read,
<target>/manifest.json   the settings with their hash, and counts once all is done,
<target>/.progress/<image>.json   one mark per finished image; a killed run goes on behind them. Patches whose
bytes are not those of the mark any more are cut again, and what no mark vouches for is removed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jld.data.dota.jdet_labels import jdet_entry, write_jdet_labels
from jld.data.dota.labels import read_label_file
from jld.data.dota.leftovers import hold_folder, remove_temporaries, remove_unknown
from jld.data.dota.patches import (
    SourceImage,
    SplitSettings,
    patch_checksum,
    patch_files,
    split_image,
    write_text,
)
from jld.data.file_names import files_of_kind, unusable
from jld.data.images import ImageReader, is_image_file
from jld.data.json_files import read_json
from jld.data.problems import Problem, error, listing
from jld.data.values import composed
from jld.errors import ConfigError, DataError
from jld.utils.map_shards import map_shards

MANIFEST = "manifest.json"
PROGRESS = ".progress"
MARK_KEYS = {"fingerprint", "bits", "patches", "checksums"}

logger = logging.getLogger(__name__)


def find_images(
    folders: Sequence[str | Path],
    *,
    has_labels: bool = True,
    label_folders: Sequence[Path] | None = None,
) -> list[SourceImage]:
    """The images of one or several folders with `images` and `labelTxt` in them, sorted by identifier.

    Args:
        folders: for example `train` and `val`, whose images together are `trainval`.
        has_labels: whether every image needs a label file.
        label_folders: of each folder, where they are not `labelTxt` in it.
    Raises:
        DataError: a folder or label files are missing, no image is there, or two images have the same name.
    """
    found: dict[str, SourceImage] = {}
    problems = []
    for index, folder in enumerate(map(Path, folders)):
        images = folder / "images"
        labels = folder / "labelTxt" if label_folders is None else label_folders[index]
        if not images.is_dir():
            raise DataError(f"{images} is no folder; the layout is <source>/<label>/images and labelTxt.")
        files = sorted(filter(is_image_file, images.iterdir()))
        problems += unusable([file.name for file in files], images)
        label_files = {composed(file.stem): file for file in files_of_kind(labels, ".txt", "*")}
        for file in files:
            label = label_files.get(composed(file.stem), labels / f"{file.stem}.txt")
            if file.stem in found:
                problems.append(error(f"has the same name as {found[file.stem].image_file}.", file))
            if has_labels and composed(file.stem) not in label_files:
                problems.append(error("image has no label file; expected it in labelTxt.", label))
            found[file.stem] = SourceImage(file.stem, str(file), str(label) if has_labels else None)
    if problems:
        raise DataError(f"{len(problems)} images cannot be used:\n{listing(problems)}")
    if not found:
        raise DataError(f"no image in {', '.join(str(Path(folder) / 'images') for folder in folders)}.")
    return [found[image_id] for image_id in sorted(found)]


def label_problems(sources: Sequence[SourceImage], classes: Sequence[str] | None) -> list[Problem]:
    """Every malformed line of all label files, read before the first image is cut."""
    return [problem for file in _label_files(sources) for problem in read_label_file(file, classes)[1]]


def _label_files(sources: Sequence[SourceImage]) -> list[str]:
    return [source.label_file for source in sources if source.label_file]


def split_dataset(
    sources: Sequence[SourceImage],
    target: str | Path,
    settings: SplitSettings,
    *,
    classes: Sequence[str] | None = None,
    num_workers: int | str = 0,
    skip_malformed: bool = False,
    image_reader: ImageReader | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Cuts all images; images that were cut before and have not changed since are passed over.

    Another run that works in the same folder is waited for.

    Args:
        sources: see `find_images`.
        target: folder of the result.
        settings: how to cut.
        classes: names in the order of the labels; None for images without labels.
        num_workers: processes, each with one image in memory; 0 works in this one. Or the address of a Dask
            scheduler, see `jld.utils.map_shards`.
        skip_malformed: leave out label lines that cannot be used instead of stopping.
        image_reader: how the images are read; the default one.
        on_progress: called with (images done, images in all) after each image, first with those done before.
    Returns:
        The manifest: settings, counts, and the label lines that were left out.
    Raises:
        ConfigError: the folder was made with other settings.
        DataError: malformed label lines (all of them), or images that cannot be read (all of them).
    """
    target, reader = Path(target), image_reader or ImageReader()
    problems = label_problems(sources, classes)
    if problems and not skip_malformed:
        raise DataError(
            f"{len(problems)} label lines cannot be used; mend them, or pass skip_malformed "
            f"(--skip-malformed) to leave them out:\n{listing(problems)}"
        )
    folders = [target / name for name in ("images", settings.label_folder, PROGRESS)]
    with hold_folder(target):
        remove_temporaries([target, *folders])
        manifest = _start_manifest(target, settings, classes, reader)
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        work = partial(
            _split_or_report,
            settings=settings,
            target=str(target),
            classes=classes and tuple(classes),
            reader=reader,
        )
        done = _valid_marks(target, sources, settings, has_labels=classes is not None)
        marks = _cut_missing(sources, done, target, work, num_workers, on_progress)
        patches = [patch for source in sources for patch in marks[source.image_id]["patches"]]
        remove_unknown(folders[:2], {patch[0] for patch in patches})
        if classes is not None:
            _write_jdet_labels(target, settings, patches, classes)
        manifest |= _summary(sources, marks, patches, problems)
        write_text(target / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    return manifest


def _summary(
    sources: Sequence[SourceImage],
    marks: dict[str, dict],
    patches: Sequence[Sequence],
    problems: Sequence[Problem],
) -> dict[str, Any]:
    return {
        "is_complete": True,
        "num_images": len(sources),
        "num_patches": len(patches),
        "num_objects": sum(patch[3] for patch in patches),
        "num_deep_images": _num_deep(marks),
        "left_out": [str(problem) for problem in problems],
        # Where evaluation finds the ground truth of the whole images.
        "label_folders": sorted({str(Path(file).resolve().parent) for file in _label_files(sources)}),
    }


def _cut_missing(
    sources: Sequence[SourceImage],
    marks: dict[str, dict],
    target: Path,
    work: Callable,
    num_workers: int | str,
    on_progress: Callable[[int, int], None],
) -> dict[str, dict]:
    """Cuts the images that have no mark yet, and returns the marks of all."""
    waiting = [source for source in sources if source.image_id not in marks]
    on_progress(len(marks), len(sources))
    failures = []
    for index, (mark, failure) in map_shards(work, waiting, num_workers, lambda source: source.image_file):
        if failure:
            failures.append(error(failure))
            continue
        image_id = waiting[index].image_id
        write_text(_mark_file(target, image_id), json.dumps(mark))
        marks[image_id] = mark
        on_progress(len(marks), len(sources))
    if failures:
        raise DataError(
            f"{len(failures)} images could not be cut; mend them and run again, the others are kept:\n"
            f"{listing(failures)}"
        )
    if num_deep := _num_deep(marks):
        text = "%d images have more than 8 bits per sample (16 at most), their patches 8; see docs/images.md."
        logger.warning(text, num_deep)
    return marks


def _num_deep(marks: dict[str, dict]) -> int:
    return sum(mark["bits"] > 8 for mark in marks.values())


def _split_or_report(source: SourceImage, **options: Any) -> tuple[dict | None, str]:
    """(done mark, reason why there is none): one broken image must not end the work on the others."""
    try:
        return split_image(source, **options), ""
    except DataError as problem:
        return None, str(problem)


def settings_hash(described: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that differ between settings."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]


def _start_manifest(
    target: Path, settings: SplitSettings, classes: Sequence[str] | None, reader: ImageReader
) -> dict[str, Any]:
    described = {**settings.as_dict(), "classes": None if classes is None else list(classes)}
    # Only what changes patches, and only where it does: folders made before it could be set stay valid.
    default = ImageReader()
    for key in ("orientation", "bits"):
        if getattr(reader, key) != getattr(default, key):
            described[f"image_reader.{key}"] = getattr(reader, key)
    manifest = {"format": 1, "settings": described, "hash": settings_hash(described), "is_complete": False}
    file = target / MANIFEST
    if file.is_file():
        former = read_object(file)
        if former.get("hash") != manifest["hash"]:
            changes = _describe_changes(former.get("settings") or {}, described)
            raise ConfigError(
                f"{target} was made with other settings ({changes}): choose another target_dataset_path, or "
                "remove it with --clear."
            )
    elif target.is_dir() and any(target.iterdir()):
        raise ConfigError(
            f"{target} holds files but no {MANIFEST}, so it is not known how they were made: choose another "
            "target_dataset_path, or remove the folder."
        )
    write_text(file, json.dumps(manifest, indent=2) + "\n")
    return manifest


def _describe_changes(former: dict[str, Any], now: dict[str, Any]) -> str:
    changes = [
        f"{key} was {former.get(key)!r}, now {now.get(key)!r}"
        for key in sorted({*former, *now})
        if former.get(key) != now.get(key)
    ]
    return "; ".join(changes) or "the manifest is damaged"


def _mark_file(target: Path, image_id: str) -> Path:
    return target / PROGRESS / f"{image_id}.json"


def _valid_marks(
    target: Path, sources: Sequence[SourceImage], settings: SplitSettings, *, has_labels: bool
) -> dict[str, dict]:
    """{image: done mark} of the images that need no work; other marks are removed, and in the end what they
    vouched for.
    """
    by_id = {source.image_id: source for source in sources}
    marks, num_damaged = {}, 0
    for file in sorted((target / PROGRESS).glob("*.json")):
        mark, source = read_object(file), by_id.get(file.stem)
        # A mark of an older version has no checksums: nothing says that its patches are whole.
        is_current = (
            source is not None and MARK_KEYS <= set(mark) and mark["fingerprint"] == source.fingerprint()
        )
        if is_current and _are_whole(target, settings, mark, has_labels):
            marks[file.stem] = mark
            continue
        num_damaged += is_current
        file.unlink()
    if num_damaged:
        logger.warning(
            "%s: patches of %d images are missing, damaged or changed; these images are cut again.",
            target,
            num_damaged,
        )
    return marks


def _are_whole(target: Path, settings: SplitSettings, mark: dict[str, Any], has_labels: bool) -> bool:
    try:
        for (name, *_), checksum in zip(mark["patches"], mark["checksums"], strict=True):
            files = patch_files(target, settings, name)[: 1 + has_labels]
            if patch_checksum(*[file.read_bytes() for file in files]) != checksum:
                return False
    except (OSError, TypeError, ValueError):
        return False
    return True


def read_object(file: Path) -> dict[str, Any]:
    """The object in a manifest or mark; {} where there is none, or a damaged one."""
    try:
        content = read_json(file, "manifest")
    except DataError:
        return {}
    return content if isinstance(content, dict) else {}


def _write_jdet_labels(
    target: Path, settings: SplitSettings, patches: Sequence[Sequence], classes: Sequence[str]
) -> None:
    """`labels.pkl` in JDet's layout: le135 boxes, labels from 1, patches without objects left out.

    As in JDet, flag 1 goes to the ignored objects and flag 2 is left out; patches in the style of MMRotate
    train on all flags, as MMRotate does.
    """
    entries = []
    for name, width, height, num_objects in patches:
        if num_objects == 0 and not settings.keep_empty:
            continue
        annotation, _ = read_label_file(target / settings.label_folder / f"{name}.txt")
        if settings.style == "mmrotate":
            annotation = replace(annotation, difficult=np.zeros_like(annotation.difficult))
        entries.append(jdet_entry(f"{name}.png", width, height, annotation, classes))
    write_jdet_labels(target / "labels.pkl", entries)


def remove_result(target: str | Path) -> bool:
    """Removes a folder that `split_dataset` made; anything else is left alone.

    Returns:
        Whether there was one: a folder without a manifest is not ours.
    """
    target = Path(target)
    if not (target / MANIFEST).is_file():
        return False
    shutil.rmtree(target)
    return True
