"""Finds objects in images, folders, films and more, and saves them drawn, as labels or as crops.

Usage: jld predict MODEL SOURCE [SOURCE ...] --checkpoint weights.pth --save images json
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jld.apis.arguments import add_config_flag
from jld.apis.image_sources import Film, SourceImage, is_single, source_images
from jld.apis.inference import detect_pixels, init_detector
from jld.apis.prediction import Prediction, label_of, write_lines
from jld.apis.program import program
from jld.apis.registration import register_parts
from jld.boxes.detections import Detections
from jld.config.teacher import CONFIG_SUFFIXES
from jld.data.dota import merge_windows
from jld.data.dota.windows import image_windows
from jld.data.problems import printable
from jld.data.results import write_plain_results
from jld.errors import ConfigError, DataError, one_of
from jld.models import Detector
from jld.runner.going_on import chosen_checkpoint, run_config
from jld.visualization.canvas import write_image
from jld.visualization.films import FilmWriter

SAVED = ("images", "film", "json", "yolo", "dota", "crops")


@dataclass(frozen=True)
class Look:
    """How a detector looks at an image, and what of its detections stays.

    Attributes:
        threshold: score that detections must reach.
        classes: names that stay; None: all.
        window: side in px of the windows that a larger image is looked at through; None: as a whole.
        overlap: px that neighbouring windows share; more than the objects are long.
        merge_iou: detections of one class in several windows are one object above this overlap; default: 0.1
            for rotated boxes, as for DOTA, and 0.5 for upright ones.
        batch_size: images, or windows, that go through the network together.
    """

    threshold: float = 0.0
    classes: Sequence[str] | None = None
    window: int | None = None
    overlap: int = 200
    merge_iou: float | None = None
    batch_size: int = 1

    def __post_init__(self):
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}; it is at least 1.")
        if self.window is not None:
            image_windows(1, 1, self.window, self.overlap)  # says what is wrong with the two


def predict(detector: Detector, source: Any, *, every: int = 1, **look: Any) -> Prediction | list[Prediction]:
    """Detections in whatever holds images.

    Args:
        detector: from `jld.init_detector`.
        source: see `jld.apis.image_sources.source_images`: a file, folder, pattern, film, address, array,
            picture of Pillow, or a list of these.
        every: of films, every so many frames.
        look: see `Look`: threshold, classes, window, overlap, merge_iou, batch_size.
    Returns:
        one `Prediction` for one image, a list of them for anything else.
    Raises:
        ConfigError: a class that the detector does not have, windows that cannot be.
        DataError: nothing is there, or an image cannot be read.
    Example:
        found = jld.predict(detector, "street.jpg", threshold=0.3)
        found.save("drawn.jpg")
    """
    found = list(stream(detector, source, every=every, **look))
    return found[0] if is_single(source) else found


def stream(
    detector: Detector,
    source: Any,
    *,
    every: int = 1,
    on_broken: Callable[[str], None] | None = None,
    **look: Any,
) -> Iterator[Prediction]:
    """As `predict`, one after the other: a film or a large folder does not fill the memory.

    Args:
        on_broken: called with the message about an image that cannot be read, which is then passed over; None
            stops there.
    """
    how = Look(**look)
    if every < 1:
        raise ConfigError(f"every is {every}; it is at least 1.")
    for name in how.classes or ():
        label_of(name, detector.classes)  # before anything is computed
    group: list[tuple[SourceImage, np.ndarray]] = []
    for image in source_images(source, detector.image_reader, every=every):
        try:
            group.append((image, image.read()))
        except DataError as problem:
            if on_broken is None:
                raise
            on_broken(str(problem))
        if len(group) >= (1 if how.window else how.batch_size):
            yield from _predictions(detector, group, how)
            group = []
    if group:
        yield from _predictions(detector, group, how)


def _predictions(
    detector: Detector, group: Sequence[tuple[SourceImage, np.ndarray]], how: Look
) -> Iterator[Prediction]:
    names, images = [image.name for image, _ in group], [pixels for _, pixels in group]
    if how.window:
        detections = [_through_windows(detector, *each, how) for each in zip(images, names, strict=True)]
    else:
        detections = detect_pixels(detector, images, names)
    for found, (image, pixels) in zip(detections, group, strict=True):
        kept = pixels if image.kept is None else image.kept
        prediction = replace(Prediction.of(found, kept, pixels, detector=detector), film=image.film)
        yield prediction.select(how.threshold, how.classes)


def _through_windows(detector: Detector, image: np.ndarray, name: int | str, how: Look) -> Detections:
    height, width = image.shape[:2]
    windows = image_windows(width, height, how.window or 0, how.overlap)
    found: list[Detections] = []
    for start in range(0, len(windows), how.batch_size):
        group = windows[start : start + how.batch_size]
        parts = [np.ascontiguousarray(image[y1:y2, x1:x2]) for x1, y1, x2, y2 in group]
        found += detect_pixels(detector, parts, list(range(start, start + len(parts))))
    if len(windows) == 1:
        return replace(found[0], img_id=name)
    return merge_windows(found, windows, name, how.merge_iou)


class Saver:
    """Writes predictions of many images into a folder, each in every wanted form.

    Args:
        folder: gets `images`, `films`, `yolo`, `dota`, `crops/<class>` and `predictions.json`, as wanted.
        kinds: of `SAVED`.
        classes: names, in the order of the labels.
        with_text, with_scores: of the pictures, and of YOLO's lines.
    Raises:
        ConfigError: unknown kind.
    """

    def __init__(
        self,
        folder: Path,
        kinds: Sequence[str],
        classes: Sequence[str],
        *,
        with_text: bool = True,
        with_scores: bool = False,
    ):
        for kind in kinds:
            one_of(kind, SAVED, f"--save knows no {kind!r}")
        self.folder, self.kinds, self.classes = folder, kinds, tuple(classes)
        self.with_text, self.with_scores = with_text, with_scores
        self._used: Counter[str] = Counter()
        self._all: list[Detections] = []
        self._film: tuple[Film, FilmWriter] | None = None
        self._films = 0

    def __call__(self, found: Prediction) -> None:
        """Writes one; all but json, which comes with `finish`.

        Raises:
            DataError: a film cannot be written.
        """
        stem = self._stem(found.img_id)
        if "film" in self.kinds and found.film is not None:
            self._add_frame(found, found.film)
        if "images" in self.kinds:
            write_image(self.folder / "images" / f"{stem}.jpg", found.plot(with_text=self.with_text))
        if "yolo" in self.kinds:
            text = found.yolo(with_scores=self.with_scores)
            write_lines(self.folder / "yolo" / f"{stem}.txt", text)
        if "dota" in self.kinds:
            write_lines(self.folder / "dota" / f"{stem}.txt", found.dota())
        if "crops" in self.kinds and len(found):
            for number, (name, crop) in enumerate(zip(found.names, found.crops(), strict=True)):
                place = self.folder / "crops" / name.replace("/", "_").replace("..", "_")
                write_image(place / f"{stem}_{number}.jpg", crop)
        if "json" in self.kinds:
            self._all.append(replace(found, image=None))

    def _add_frame(self, found: Prediction, film: Film) -> None:
        if self._film is None or self._film[0] is not film:  # each film that is read has its own
            self.close(is_whole=True)
            stem = self._stem(str(film.path))
            self._film = film, FilmWriter(self.folder / "films" / stem, film.rate, found.image_size)
            self._films += 1
        self._film[1].write(found.plot(with_text=self.with_text))

    def close(self, *, is_whole: bool = False) -> None:
        """Ends the film that is being written; one that is not whole is dropped."""
        if self._film is not None:
            self._film[1].close(is_whole=is_whole)
            self._film = None

    def finish(self) -> None:
        """Writes what holds all images: the film, the json, and YOLO's list of names.

        Raises:
            DataError: a film is wanted, and there was none.
        """
        self.close(is_whole=True)
        if "film" in self.kinds and not self._films:
            raise DataError("--save film: no source was a film; --save images draws images.")
        if "json" in self.kinds:
            write_plain_results(self._all, self.classes, self.folder / "predictions.json")
        if "yolo" in self.kinds and self.classes:
            write_lines(self.folder / "yolo" / "classes.txt", "".join(f"{name}\n" for name in self.classes))

    def _stem(self, img_id: str | int) -> str:
        """A file name for an image: its own, and a number where several have the same."""
        name = img_id.rsplit("/", 1)[-1] if isinstance(img_id, str) else f"{img_id:06d}"
        stem = name.split("?")[0].removesuffix(Path(name.split("?")[0]).suffix) or "image"
        self._used[stem] += 1
        return stem if self._used[stem] == 1 else f"{stem}_{self._used[stem]}"


def parser() -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = made.add_argument
    add(
        "words",
        nargs="+",
        metavar="MODEL SOURCE",
        help="a config, its name, the folder of a run, or published weights that carry their config; then "
        "images, folders, patterns, films, http(s) addresses, or .txt with one a line",
    )
    add_config_flag(made, "the model; all words are then sources")
    add(
        "--checkpoint", metavar="FILE", help="weights of a config: a file, best or last (default: of its run)"
    )
    add("--opts", nargs="*", default=[], metavar="KEY=VALUE", help="config keys to change")
    add("--threshold", type=float, default=0.3, metavar="SCORE", help="least score (default: 0.3)")
    add("--classes", nargs="+", metavar="NAME", help="only these classes")
    add("--save", nargs="+", default=["images"], metavar="KIND", help=f"of {', '.join(SAVED)}")
    add("--save_dir", "--save-dir", type=Path, default=Path("predictions"), help="(default: predictions)")
    add("--window", type=int, metavar="PX", help="look through windows of this side, for large images")
    add("--overlap", type=int, default=200, metavar="PX", help="of neighbouring windows (default: 200)")
    add("--merge-iou", type=float, metavar="IOU", help="overlap that joins detections of several windows")
    add("--every", type=int, default=1, metavar="K", help="every K-th frame of films (default: 1)")
    add("--batch-size", type=int, default=1, metavar="N", help="images at once (default: 1)")
    add("--no-text", action="store_true", help="draw boxes without names and scores")
    add("--scores", action="store_true", help="a sixth word in YOLO's lines: no label file then")
    add("--no_cuda", "--cpu", action="store_true", help="run on the CPU even where a GPU could be used")
    return made


def _load(model: str, arguments: argparse.Namespace) -> Detector:
    """The detector of a config with the weights that `val` would take, or of published weights.

    Raises:
        ConfigError: a config without weights.
    """
    device = "cpu" if arguments.no_cuda else "auto"
    if Path(model).suffix not in ("", *CONFIG_SUFFIXES) and not Path(model).is_dir():
        return init_detector(model, arguments.checkpoint, device=device)
    register_parts()
    config = run_config(model, arguments.opts)
    checkpoint = chosen_checkpoint(config, arguments.checkpoint)
    print(f"weights: {checkpoint}")
    return init_detector(config, checkpoint, device=device)


@program
def main(argv: list[str] | None = None) -> int:
    """0 when all images were looked at, 1 where some could not be read."""
    made = parser()
    arguments = made.parse_intermixed_args(argv)
    model, *sources = [arguments.config_file] * bool(arguments.config_file) + arguments.words
    if not sources:
        made.error("give images behind the model: a file, folder, pattern, film or address")
    broken: list[str] = []
    detector = _load(model, arguments)
    saver = Saver(
        arguments.save_dir,
        arguments.save,
        detector.classes,
        with_text=not arguments.no_text,
        with_scores=arguments.scores,
    )
    look = {key: getattr(arguments, key) for key in ("threshold", "classes", "window", "overlap")}
    look |= {"merge_iou": arguments.merge_iou, "batch_size": arguments.batch_size}
    with closing(saver):
        for found in stream(detector, sources, every=arguments.every, on_broken=broken.append, **look):
            saver(found)
            print(f"{printable(found.img_id)}: {found.counts() or 'nothing'}", flush=True)
        saver.finish()
    for text in broken:
        print(f"passed over: {text}", file=sys.stderr)
    print(f"{arguments.save_dir}: {', '.join(arguments.save)}")
    return 1 if broken else 0
