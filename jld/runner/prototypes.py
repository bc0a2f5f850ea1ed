"""A hook that chooses the prototypes of global knowledge before every epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jld.data.chosen import ChosenImages, images_with_classes
from jld.data.dataset import DetectionDataset
from jld.data.transforms import Transform
from jld.distill import Teacher
from jld.distill.instances import Prototypes
from jld.distill.prototypes import PrototypeRule
from jld.distill.terms.instances import InstanceTerm
from jld.errors import CheckpointError, ConfigError
from jld.models.normalisation import pixels_of
from jld.registry import HOOKS
from jld.runner.candidates import CandidateReader, Candidates
from jld.runner.hooks import Hook
from jld.runner.ranks import require_agreement
from jld.utils.distributed import is_main
from jld.utils.logging import get_logger
from jld.visualization.canvas import blank, write_image
from jld.visualization.montage import montage

if TYPE_CHECKING:
    from jld.runner.loop import TrainingLoop

FOLDER = "prototypes"
CROP_PX = 64


@HOOKS.register
class PrototypeHook(Hook):
    """Chooses the prototypes that terms such as `GlobalKnowledge` compare with, from the training images.

    Per class and level, those instances whose features span the class for student and teacher at once (see
    `PrototypeRule`). They are part of the run's state. In `work_dir/prototypes` lie the teacher's features,
    which are computed once, and a picture of the instances chosen on the finest level.

    Args:
        count: prototypes per class and level, at most.
        tie, bandwidth, sparse_share, exclude_chosen: see `PrototypeRule`; `exclude_chosen=False` is released.
        interval: epochs between two choices.
        max_images: images that are looked at for a class, drawn once.
        max_candidates: instances of a class that are compared, drawn once more; memory grows with the square.
        min_side_px: instances count whose sides, in px of the original image, are longer.
        transforms: of the images, such as those of validation (released); None: those of training, with a
            fixed draw for each image.
        batch_size, num_workers: of the images that are looked at.
        seed: of the draws.
    Raises:
        ConfigError: values that cannot be.
    Source: arXiv:2210.09022; hikvision-research/DAVAR-Lab-ML (`pgm_hook.py`), where each class looks at its
        images anew and the features are in half precision.
    """

    name = "prototypes"

    def __init__(  # noqa: PLR0913 (the signature is the schema of a config section)
        self,
        count: int = 10,
        tie: float = 10.0,
        *,
        bandwidth: float = 0.1,
        sparse_share: float = 0.4,
        exclude_chosen: bool = True,
        interval: int = 1,
        max_images: int = 800,
        max_candidates: int = 4000,
        min_side_px: float = 30.0,
        transforms: Iterable[Transform] | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
        seed: int = 1,
    ):
        self.rule = PrototypeRule(
            count=count,
            tie=tie,
            bandwidth=bandwidth,
            sparse_share=sparse_share,
            exclude_chosen=exclude_chosen,
        )
        if min(interval, max_images, max_candidates) < 1:
            raise ConfigError("PrototypeHook: interval, max_images and max_candidates must be 1 or more.")
        self.interval, self.max_candidates, self.seed = interval, max_candidates, seed
        self.max_images, self.min_side_px = max_images, min_side_px
        self.loading = {"batch_size": batch_size, "num_workers": num_workers, "seed": seed}
        self.transforms = None if transforms is None else list(transforms)
        self.prototypes: Prototypes | None = None
        self._made_at: int | None = None
        self._reader: CandidateReader | None = None

    def before_training(self, loop: TrainingLoop) -> None:
        """See `Hook`; a resumed run goes on with the prototypes of its epoch.

        Raises:
            ConfigError: no term asks for prototypes, or their teacher or the dataset do not allow them.
            CheckpointError: the saved ones belong to another pair of networks.
        """
        self._teacher(loop)
        if self.prototypes is None:
            self._renew(loop)
            return
        own, given = loop.detector.interface, self._teacher(loop).interface
        wanted = len(own.strides), own.num_classes, own.channels, given.channels
        found = tuple(self.prototypes.shape[axis] for axis in (0, 1, 3, 4))
        if found != wanted:
            raise CheckpointError(
                f"the saved prototypes have (levels, classes, channels of student and teacher) {found}, this "
                f"run has {wanted}: use the file as pretrained_weights."
            )
        self._hand_out(loop, self.prototypes)

    def before_epoch(self, loop: TrainingLoop) -> None:
        """See `Hook`."""
        if loop.epoch % self.interval == 0 and self._made_at != loop.iteration:
            self._renew(loop)

    def state_dict(self) -> dict[str, Any]:
        """The prototypes as arrays."""
        made = self.prototypes
        if made is None:
            return {}
        return {"student": made.student, "teacher": made.teacher, "mask": made.mask}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Hook`."""
        if state:
            self.prototypes = Prototypes(state["student"], state["teacher"], state["mask"])

    def _renew(self, loop: TrainingLoop) -> None:
        started, log = time.perf_counter(), get_logger("run")
        with loop.paused():
            self._reader = self._reader or self._make_reader(loop)
            title = f"prototypes, epoch {loop.epoch + 1}"
            candidates = self._reader.read(loop.detector, self._teacher(loop), title)
            chosen = self._choose(candidates, len(loop.dataset.classes), title)
            prototypes = _gathered(candidates, chosen, self.rule.count)
            require_agreement(f"{prototypes.student.sum(dtype=np.float64):.6g}", "prototypes")
            self._draw(loop, self._reader.images, candidates, chosen[0])
        self._made_at = loop.iteration
        self._hand_out(loop, prototypes)
        counts = [len(set(rows.tolist())) for rows in chosen[0]]  # as released, one may be chosen again
        log.info(
            "prototypes of epoch %d: %d of %d candidates on the finest level, of %d of %d classes; %.0f s",
            loop.epoch + 1, sum(counts), len(candidates.labels), sum(map(bool, counts)), len(counts),
            time.perf_counter() - started,
        )  # fmt: skip

    def _hand_out(self, loop: TrainingLoop, prototypes: Prototypes) -> None:
        self.prototypes = prototypes
        for term in _readers(loop):
            term.use(prototypes)

    def _teacher(self, loop: TrainingLoop) -> Teacher:
        readers = _readers(loop)
        lessons = [] if loop.distiller is None else loop.distiller.lessons
        names = sorted({lesson.teacher for lesson in lessons if lesson.term in readers})
        if loop.distiller is None or not names:
            raise ConfigError(
                "PrototypeHook: no term compares with prototypes; add one such as GlobalKnowledge, or leave "
                "the hook out."
            )
        if len(names) > 1:
            raise ConfigError(
                f"PrototypeHook serves one teacher, but terms with prototypes name {', '.join(names)}: name "
                "one of them in all."
            )
        return loop.distiller.teachers[names[0]]

    def _make_reader(self, loop: TrainingLoop) -> CandidateReader:
        dataset = loop.dataset
        if not isinstance(dataset, DetectionDataset) or dataset.num_sides != 4:
            raise ConfigError(
                f"PrototypeHook needs labelled upright boxes; dataset.train is a {type(dataset).__name__}."
            )
        indices, drawn = images_with_classes(
            dataset, max_images=self.max_images, min_side_px=self.min_side_px, seed=self.seed
        )
        if not len(indices):
            raise ConfigError(
                f"PrototypeHook: no object of dataset.train has sides above {self.min_side_px:g} px: "
                "lower min_side_px."
            )
        images = ChosenImages(dataset, indices.tolist(), self.transforms)
        folder = None if loop.work_dir is None else loop.work_dir / FOLDER
        return CandidateReader(images, drawn, self.min_side_px, folder, **self.loading)

    def _choose(self, candidates: Candidates, num_classes: int, title: str) -> list[list[np.ndarray]]:
        """[L][C] rows of the candidates that become prototypes."""
        from tqdm import tqdm

        hidden = not (is_main() and sys.stderr.isatty())
        chosen: list[list[np.ndarray]] = [[] for _ in range(candidates.student.shape[1])]
        for label in tqdm(range(num_classes), desc=f"{title}, classes", leave=False, disable=hidden):
            rows = np.flatnonzero(candidates.labels == label)
            if len(rows) > self.max_candidates:
                rng = np.random.default_rng([self.seed, label])
                rows = np.sort(rng.choice(rows, self.max_candidates, replace=False))
            for level, found in enumerate(chosen):
                sides = (candidates.student[rows, level], candidates.teacher[rows, level])
                found.append(rows[self.rule.choose(*sides)])
        return chosen

    def _draw(
        self, loop: TrainingLoop, images: ChosenImages, candidates: Candidates, chosen: list[np.ndarray]
    ) -> None:
        """Writes a picture of the rows chosen for every class."""
        if loop.work_dir is None or not is_main():
            return
        crops, captions = [], []
        for name, rows in zip(loop.dataset.classes, chosen, strict=True):
            empty = self.rule.count - len(rows)
            crops += [self._crop(loop, images, candidates, row) for row in rows]
            crops += [blank(CROP_PX, CROP_PX)] * empty
            captions += [name] * len(rows) + [""] * empty
        picture = montage(crops, columns=self.rule.count, captions=captions, cell_size=(CROP_PX, CROP_PX))
        write_image(loop.work_dir / FOLDER / f"epoch_{loop.epoch + 1:03}.jpg", picture)

    def _crop(self, loop: TrainingLoop, images: ChosenImages, candidates: Candidates, row: int) -> np.ndarray:
        number = int(candidates.images[row])
        # The generator with which the loader has made the same sample.
        sample = images.get(number, np.random.default_rng([self.seed, 0, number]))
        picture = pixels_of(sample["image"], loop.detector.normalisation)
        x1, y1, x2, y2 = candidates.boxes[row].astype(int)
        return picture[y1 : y2 + 1, x1 : x2 + 1]


def _readers(loop: TrainingLoop) -> list[InstanceTerm]:
    terms = [] if loop.distiller is None else loop.distiller.terms
    return [term for term in terms if isinstance(term, InstanceTerm) and term.needs_prototypes]


def _gathered(candidates: Candidates, chosen: list[list[np.ndarray]], count: int) -> Prototypes:
    """The features of the chosen rows in slots of fixed number."""
    shape = len(chosen), len(chosen[0]), count
    mask = np.zeros(shape, np.float32)
    spaces = [
        np.zeros((*shape, each.shape[2]), np.float32) for each in (candidates.student, candidates.teacher)
    ]
    for level, classes in enumerate(chosen):
        for label, rows in enumerate(classes):
            mask[level, label, : len(rows)] = 1
            for space, features in zip(spaces, (candidates.student, candidates.teacher), strict=True):
                space[level, label, : len(rows)] = features[rows, level]
    student, teacher = spaces
    return Prototypes(student, teacher, mask)
