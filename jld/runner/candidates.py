"""What two networks see in the labelled instances of a dataset: features per pyramid level, streamed.

Images pass one batch at a time; what stays is a row per instance. The teacher's rows are kept on disk in
parts of a fixed number of batches, so that a run that is broken off, or the next epoch, reads them again.
Source: arXiv:2210.09022; hikvision-research/DAVAR-Lab-ML (`prototype_generation_module.py`).
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from jld.checkpoint import atomic_write
from jld.data import DataLoader
from jld.data.chosen import ChosenImages
from jld.distill import FrozenTeacher, Step, Teacher
from jld.errors import ConfigError, DataError
from jld.models import Detector, Targets, Trace
from jld.ops.crop_means import crop_means
from jld.runner.ranks import sum_over_ranks
from jld.toolchain import jittor as jt
from jld.utils import stopping
from jld.utils.distributed import is_main, rank, world_size

BATCHES_PER_PART = 256


@dataclass(frozen=True)
class Candidates:
    """T instances; `student` and `teacher` hold a feature per level of the student's pyramid.

    Attributes:
        labels: [T] class.
        images: [T] number of the image among the chosen ones.
        boxes: [T, 4] corners in px of the network's input.
        student: [T, L, D].
        teacher: [T, L, D]; zeros on levels that it does not have.
    """

    labels: np.ndarray
    images: np.ndarray
    boxes: np.ndarray
    student: np.ndarray
    teacher: np.ndarray


@dataclass(frozen=True)
class CandidateReader:
    """Describes the instances of chosen images by a student and its teacher.

    Attributes:
        images: the chosen images.
        drawn: [I, C] bool: for which classes an image was chosen.
        min_side_px: instances count whose sides, in px of the original image, are longer.
        folder: of the teacher's parts; None keeps nothing on disk.
        batch_size, num_workers, seed: of the loader.
    """

    images: ChosenImages
    drawn: np.ndarray
    min_side_px: float
    folder: Path | None
    batch_size: int
    num_workers: int
    seed: int

    def read(self, student: Detector, teacher: Teacher, title: str) -> Candidates:
        """All candidates, on every rank; the student is left in evaluation mode.

        Raises:
            ConfigError: several processes, and no folder in which they could share what they found.
            DataError: kept parts belong to other images.
        """
        if world_size() > 1 and self.folder is None:
            raise ConfigError("several processes share candidates in the work_dir, and there is none.")
        loader = DataLoader(self.images, self.batch_size, self.num_workers, seed=self.seed, on_broken="skip")
        if world_size() > 1:
            loader = loader.shard(rank(), world_size(), split_batches=False)
        student.eval()
        try:
            with jt.no_grad():
                parts = list(self._parts(loader, student, teacher, title))
        finally:
            loader.close()
        own = _joined(parts)
        return Candidates(**(own if world_size() == 1 else self._of_all_ranks(own)))

    def _parts(
        self, loader: DataLoader, student: Detector, teacher: Teacher, title: str
    ) -> Iterator[dict[str, np.ndarray]]:
        from tqdm import tqdm

        hidden = not (is_main() and sys.stderr.isatty())
        batches = iter(tqdm(loader.epoch(0), total=len(loader), desc=title, leave=False, disable=hidden))
        name = self._kept_name(student, teacher)
        for number in count():
            path = None if name is None else name.with_name(f"{name.name}_{number:04}.npz")
            kept = _kept_rows(path)
            rows = []
            for batch in islice(batches, BATCHES_PER_PART):
                stopping.poll_alone()
                rows.append(self._rows(batch, student, None if kept is not None else teacher))
            if not rows:
                break
            part = _joined(rows)
            if kept is not None:
                part["teacher"] = _matching(kept, part, path)
            elif path is not None:
                _save(path, {key: part[key] for key in ("boxes", "teacher")})
            yield part
        yield self._nothing(student, teacher)

    def _rows(
        self, batch: Mapping[str, Any], student: Detector, teacher: Teacher | None
    ) -> dict[str, np.ndarray]:
        images, targets = jt.array(batch["images"]), Targets.from_batch(batch)
        own, strides = student.features(images), student.interface.strides
        found = {"student": _level_means(own, range(len(own)), batch)}
        if teacher is not None:
            trace = teacher(Step(images, targets, student, own, Trace(own, strides, {})))
            known = [trace.strides.index(each) if each in trace.strides else None for each in strides]
            found["teacher"] = _level_means(trace.features, known, batch)
        numbers = np.array([self._numbers[img_id] for img_id in batch["img_ids"]])[:, None]
        sides = (batch["boxes"][..., 2:] - batch["boxes"][..., :2]) / batch["scale_factors"][:, None, :2]
        is_real = (batch["box_mask"] > 0) & (sides > self.min_side_px).all(-1)
        keep = is_real & self.drawn[numbers, batch["labels"]]  # [N, G]
        found |= {"labels": batch["labels"], "images": numbers + 0 * batch["labels"], "boxes": batch["boxes"]}
        return {key: values[keep] for key, values in found.items()}

    def _nothing(self, student: Detector, teacher: Teacher) -> dict[str, np.ndarray]:
        own, given = student.interface, teacher.interface
        shape = (0, len(own.strides))
        return {
            "labels": np.zeros(0, np.int32),
            "images": np.zeros(0, np.int64),
            "boxes": np.zeros((0, 4), np.float32),
            "student": np.zeros((*shape, own.channels), np.float32),
            "teacher": np.zeros((*shape, given.channels), np.float32),
        }

    @cached_property
    def _numbers(self) -> dict[Any, int]:
        return {img_id: number for number, img_id in enumerate(self.images.image_ids)}

    def _kept_name(self, student: Detector, teacher: Teacher) -> Path | None:
        """Path and stem of the teacher's files: another model, other weights or images have other names."""
        if self.folder is None or not isinstance(teacher, FrozenTeacher):
            return None  # one that learns sees something else in every epoch
        digest = hashlib.sha256()
        for name, var in teacher.detector.state_dict().items():
            digest.update(name.encode() + var.numpy().tobytes())
        reads = (teacher.model, teacher.detector.normalisation, teacher.expected_input(student))
        settings = (*reads, self.images.describe(), self.min_side_px, self.batch_size, self.seed)
        digest.update(repr(settings).encode() + self.drawn.tobytes())
        return self.folder / f"teacher_{digest.hexdigest()[:12]}_{rank()}of{world_size()}"

    def _of_all_ranks(self, own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        folder = self.folder or Path()  # `read` has made sure that there is one
        names = [folder / f"of_rank_{number}.npz" for number in range(world_size())]
        _save(names[rank()], own)
        _wait_for_all()
        parts = [_load(name) for name in names]
        _wait_for_all()  # nobody writes the next ones before everybody has read these
        found = _joined(parts)
        order = np.argsort(found["images"], kind="stable")  # that of one process, from which it may draw
        return {key: values[order] for key, values in found.items()}


def _level_means(
    maps: Sequence[jt.Var], levels: Sequence[int | None], batch: Mapping[str, Any]
) -> np.ndarray:
    """[N, G, L, D] mean of each map over every box: cells floor(coordinate * cells / px), both ends included.

    Unlike the crops of a step this scales by the map's true share of the image, as the released code does.
    """
    height, width = batch["images"].shape[2:]
    columns: list[jt.Var] = []
    for level in levels:
        if level is None:
            columns.append(
                0 * columns[-1] if columns else jt.zeros((*batch["box_mask"].shape, maps[0].shape[1]))
            )
            continue
        rows, cells = maps[level].shape[2:]
        scale = np.array([cells / width, rows / height] * 2)
        crops = np.clip(np.floor(batch["boxes"] * scale), 0, np.array([cells - 1, rows - 1] * 2))
        columns.append(crop_means(maps[level], jt.array(crops.astype(np.int32))))
    return jt.stack(columns, 2).numpy()


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    atomic_write(path, lambda file: np.savez(file, **arrays))


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def _kept_rows(path: Path | None) -> dict[str, np.ndarray] | None:
    """What an earlier pass has kept; None where that is nothing, or damaged."""
    if path is None or not path.is_file():
        return None
    try:
        kept = _load(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return kept if {"boxes", "teacher"} <= kept.keys() else None


def _matching(
    kept: Mapping[str, np.ndarray], part: Mapping[str, np.ndarray], path: Path | None
) -> np.ndarray:
    if not np.array_equal(kept["boxes"], part["boxes"]):
        raise DataError(
            f"{path} was made of other images than those that can be read now: delete the folder, and the "
            "teacher looks at them again."
        )
    return kept["teacher"]


def _wait_for_all() -> None:
    sum_over_ranks(np.ones(1, np.int32))
