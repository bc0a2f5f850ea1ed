"""Labels of one annotation tool or benchmark become those of another, with an account of every object.

Usage: jld convert data/mine data/mine_coco --from voc --to coco

The target is a folder that this command makes; it appears whole or not at all.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from jld.apis.program import program
from jld.data.account import Account, Tally
from jld.data.check import check_dataset
from jld.data.label_sources import EITHER, FORMATS, ROTATED, UPRIGHT, LabelSource, check_format
from jld.data.label_writers import WRITERS, LabelledImage, Target, labelled_images
from jld.data.problems import listing, raise_errors
from jld.errors import ConfigError, DataError

MARK = "conversion.log"
"""In every folder that was made here: only such a folder is ever replaced."""
PLACINGS = ("link", "copy", "none")


def convert_labels(
    source: LabelSource,
    to: str,
    folder: Path,
    *,
    boxes: str | None = None,
    placing: str = "link",
    one_based: bool = True,
    force: bool = False,
) -> str:
    """Writes labels in another format.

    Args:
        source: where they are, and how they are read.
        to: the format, one of `jld.data.label_sources.FORMATS`.
        folder: made with the labels, and images as `placing` says.
        boxes: "upright" or "rotated". Default: rotated from a format that knows only those, and from any into
            one of these; upright otherwise.
        placing: of the images, "link" (symbolic links), "copy" or "none".
        one_based: of the first pixel in VOC files that are written.
        force: replace a folder that an earlier conversion made.
    Returns:
        what was read, converted, dropped and ignored, as text; it is in the folder too.
    Raises:
        ConfigError: unknown format, boxes or placing.
        DataError: labels cannot be used, names that the format cannot tell apart, or a folder that is there.
    """
    check_format(to)
    for name, value, known in (("boxes", boxes, ("upright", "rotated", None)), ("images", placing, PLACINGS)):
        if value not in known:
            raise ConfigError(f"{name} is {value!r}; it is one of {', '.join(map(str, known))}.")
    rotated = is_rotated(source.format, to) if boxes is None else boxes == "rotated"
    _check_target(folder, source.path, force)
    dataset, root = source.read(rotated=rotated)
    problems = check_dataset(dataset)
    if source.strict:
        raise_errors(problems, str(source.path))
    images = list(labelled_images(dataset, root, rotated=rotated and to not in UPRIGHT))
    part = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.part"
    try:
        target = Target(part, dataset.classes, rotated=rotated, one_based=one_based)
        images = _named(images, target, is_flat=WRITERS[to].is_flat)
        part.mkdir(parents=True)
        WRITERS[to].write(images, target)
        for image in images if placing != "none" else ():
            _place(image.file, part / WRITERS[to].images / image.name, placing)
        text = _report(dataset.account(), images, target, f"{source.format} {source.path}", f"{to} {folder}")
        if problems:
            text += f"\nfindings:\n{listing(problems)}"
        target.text(MARK, f"{text}\n")
        _replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return text


def is_rotated(source: str, target: str) -> bool:
    """Whether boxes keep their angles when nobody says so."""
    return source in ROTATED or (source in EITHER and target in ROTATED)


def _check_target(folder: Path, source: Path, force: bool) -> None:
    if source.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{folder} holds the labels that are to be converted: choose another folder.")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MARK).is_file():
        raise DataError(f"{folder} is there and was not made by a conversion: choose another folder.")
    if not force:
        raise DataError(f"{folder} is there: --force replaces it, everything in it included.")


def _named(images: list[LabelledImage], target: Target, *, is_flat: bool) -> list[LabelledImage]:
    """Images with names that the format can hold and tell apart.

    Raises:
        DataError: two images have one name, or a name is no text of one line.
    """
    odd = next((image for image in images if not image.name.isprintable()), None)
    if odd is not None:
        raise DataError(f"{odd.file}: a file of labels cannot hold this name, rename the image.")
    if is_flat and any("/" in image.name for image in images):
        target.changed.add("images named by their folders too", images[0].name, len(images))
        images = [replace(image, name=image.name.replace("/", "_")) for image in images]
    first: dict[str, LabelledImage] = {}
    for image in images:
        before = first.setdefault(image.stem, image)
        if before is not image:
            raise DataError(f"{before.file} and {image.file} would share their labels: rename one of them.")
    return images


def _place(file: Path, place: Path, placing: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if placing == "link":
        with suppress(OSError):  # file systems without links
            place.symlink_to(file.resolve())
            return
    shutil.copyfile(file, place)


def _replace(part: Path, folder: Path) -> None:
    old = part.with_suffix(".old")
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _report(
    account: Account, images: Sequence[LabelledImage], target: Target, source: str, result: str
) -> str:
    dropped = Tally()
    dropped.update(account.dropped)
    dropped.update(target.dropped)
    left = account.objects - dropped.total
    rows = [
        f"{source}: {account.images} images, {account.objects} objects",
        f"{result}: {len(images)} images, {left} objects of {len(target.classes)} classes",
    ]
    tallies = (
        ("images left out", account.images_left_out),
        ("ignored in training", account.ignored if left > account.trained else Tally()),
        ("dropped", dropped),
        ("changed", target.changed),
    )
    rows += [f"{title}: {tally}" for title, tally in tallies if tally.total]
    missing = [name for name, count in account.per_class.items() if not count]
    return "\n".join([*rows, *([f"without an object: {', '.join(missing)}"] if missing else [])])


def add_source(parser: argparse.ArgumentParser, *, is_needed: bool = True) -> None:
    """The flags that say how labels are read."""
    add = parser.add_argument
    add("--from", dest="format", required=is_needed, metavar="FORMAT", help=f"one of {', '.join(FORMATS)}")
    add("--images-dir", type=Path, metavar="DIR", help="folder of the images, where it is not found")
    add("--classes", nargs="+", metavar="NAME", help="class names in their order; others are passed over")
    add("--image-set", metavar="NAME", help="list of VOC in ImageSets/Main (default: trainval, or every xml)")
    add("--zero-based", action="store_true", help="VOC coordinates count from 0 and may be fractions")
    add("--orientation", default="exif", help="of turned pictures in the labels: exif (default) or stored")
    add("--boxes", metavar="KIND", help="upright or rotated (default: what the formats have)")
    add("--skip-malformed", action="store_true", help="drop and count what cannot be used")


def source_of(path: Path, arguments: argparse.Namespace) -> LabelSource:
    """The labels at a path, as `add_source` was told."""
    return LabelSource(
        arguments.format,
        path,
        arguments.images_dir,
        arguments.classes,
        arguments.image_set,
        one_based=not arguments.zero_based,
        strict=not arguments.skip_malformed,
        orientation=arguments.orientation,
    )


def parser() -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    made.add_argument("source", type=Path, help="annotation file (coco, cvat) or folder (all others)")
    add_source(made)
    made.add_argument("target", type=Path, help="folder to make")
    made.add_argument("--to", required=True, metavar="FORMAT", help="one of the same formats")
    made.add_argument(
        "--images", default="link", help="link, copy or none: what becomes of the images (default: link)"
    )
    made.add_argument("--force", action="store_true", help="replace what an earlier conversion made")
    return made


@program
def main(argv: list[str] | None = None) -> None:
    """Writes the labels and prints what was left out."""
    arguments = parser().parse_args(argv)
    text = convert_labels(
        source_of(arguments.source, arguments),
        arguments.to,
        arguments.target,
        boxes=arguments.boxes,
        placing=arguments.images,
        one_based=not arguments.zero_based,
        force=arguments.force,
    )
    print(text)
