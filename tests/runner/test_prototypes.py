"""Prototypes of a small dataset: what two networks see in its objects, what is kept and what is chosen."""

from contextlib import nullcontext
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from jld.data import DrawnDataset, DrawnOrientedDataset
from jld.data.transforms import Compose, RandomFlip
from jld.distill import Distiller, FrozenTeacher, Lesson
from jld.distill.terms import GlobalKnowledge, RobustFeatures, RobustLabels
from jld.errors import CheckpointError, ConfigError, DataError
from jld.models.interface import Interface, StageInterface
from jld.models.trace import Trace
from jld.runner import PrototypeHook, candidates
from jld.toolchain import jittor as jt

STRIDES = (8, 16)
SETTINGS = {"count": 3, "min_side_px": 10.0, "batch_size": 2, "transforms": []}


class Colours(jt.Module):
    """A pyramid of mean colours, mixed by a weight of [D, 3]."""

    normalisation = None

    def __init__(self, channels, seed):
        rng = np.random.default_rng(seed)
        self.weight = jt.array(rng.normal(size=(channels, 3)).astype(np.float32))
        self.calls = 0
        stage = StageInterface("Head", 5, {}, None, (), {})
        self.interface = Interface((), STRIDES, channels, None, {"dense": stage})

    def features(self, images):
        self.calls += 1
        n, _, height, width = images.shape
        maps = []
        for stride in STRIDES:
            cells = images.reshape(n, 3, height // stride, stride, width // stride, stride).mean([3, 5])
            maps.append((self.weight.reshape(1, -1, 3, 1, 1) * cells.unsqueeze(1)).sum(2))
        return maps

    def predict(self, features, targets=None, **_):
        return Trace(features, STRIDES, {})

    def execute(self, images):
        return self.predict(self.features(images))


def frozen(detector):
    teacher = FrozenTeacher.__new__(FrozenTeacher)
    teacher._hidden, teacher._renormalises, teacher._class_order = (detector,), False, None
    teacher.model = {"type": "Colours"}
    return teacher


@pytest.fixture
def loop(tmp_path):
    dataset = DrawnDataset(split="train", num_images=9, image_size=64)
    distiller = Distiller({"teacher": frozen(Colours(4, seed=1))}, [Lesson(GlobalKnowledge())], {})
    return SimpleNamespace(
        detector=Colours(6, seed=0), distiller=distiller, dataset=dataset, work_dir=tmp_path,
        epoch=0, iteration=0, paused=nullcontext,
    )  # fmt: skip


def seen(network, dataset, index, box, level):
    """Feature of one box, by a loop over its cells."""
    image = dataset.get(index, np.random.default_rng(0))["image"]
    maps = network.features(jt.array(image[None]))[level].numpy()[0]
    x1, y1, x2, y2 = (int(value / STRIDES[level]) for value in box)
    return maps[:, y1 : y2 + 1, x1 : x2 + 1].mean((1, 2))


def test_prototypes_are_features_of_objects_of_their_class(loop):
    hook = PrototypeHook(**SETTINGS)
    hook.before_training(loop)
    made, table = hook.prototypes, loop.dataset.table
    assert loop.distiller.terms[0].prototypes is made and made.shape == (2, 5, 3, 6, 4)
    owner = np.repeat(np.arange(9), np.diff(table.offsets))
    large = (table.boxes[:, 2:] - table.boxes[:, :2] > 10).all(1)
    for label in range(5):
        rows = np.flatnonzero(large & (table.labels == label))
        assert made.mask[0, label].sum() >= min(1, len(rows))
        for level in range(2):
            networks = (loop.detector, loop.distiller.teacher.detector)
            known = [
                np.array([seen(each, loop.dataset, owner[row], table.boxes[row], level) for row in rows])
                for each in networks
            ]
            for slot in np.flatnonzero(made.mask[level, label]):
                distance = [
                    np.abs(each - space[level, label, slot]).max(1)
                    for each, space in zip(known, (made.student, made.teacher), strict=True)
                ]
                assert (distance[0] + distance[1]).min() < 1e-3  # the same object in both spaces
    picture = cv2.imread(str(loop.work_dir / "prototypes" / "epoch_001.jpg"))
    assert picture.shape[1] == 3 * 64 + 4 * 12


def test_the_teacher_looks_once_and_the_student_in_every_epoch(loop):
    hook, teacher = PrototypeHook(**SETTINGS), loop.distiller.teacher.detector
    hook.before_training(loop)
    hook.before_epoch(loop)  # the first one: nothing has changed since
    batches = loop.detector.calls
    assert teacher.calls == batches > 1
    first = hook.prototypes
    loop.detector.weight.assign(loop.detector.weight * 2.0)
    loop.epoch, loop.iteration = 1, 5
    hook.before_epoch(loop)
    assert (teacher.calls, loop.detector.calls) == (batches, 2 * batches)
    np.testing.assert_allclose(hook.prototypes.student, 2 * first.student, rtol=1e-4)
    np.testing.assert_array_equal(hook.prototypes.teacher, first.teacher)
    rare = PrototypeHook(**SETTINGS, interval=2, num_workers=1)  # another run in the same folder
    rare.before_training(loop)
    assert teacher.calls == batches
    loop.iteration = 10
    rare.before_epoch(loop)
    assert rare._made_at == 5
    (kept,) = loop.work_dir.glob("prototypes/teacher_*.npz")
    kept.write_bytes(kept.read_bytes()[:100])  # as a full disk would leave it
    PrototypeHook(**SETTINGS).before_training(loop)
    assert teacher.calls == 2 * batches
    teacher.weight.assign(teacher.weight + 1.0)
    PrototypeHook(**SETTINGS).before_training(loop)
    assert teacher.calls == 3 * batches and len(list(loop.work_dir.glob("prototypes/teacher_*.npz"))) == 2
    loop.distiller.teacher.model = {"type": "Colours", "neck": "another"}  # the same weights, put otherwise
    PrototypeHook(**SETTINGS).before_training(loop)
    assert teacher.calls == 4 * batches


def test_kept_features_of_other_objects_are_refused(loop):
    PrototypeHook(**SETTINGS).before_training(loop)
    (kept,) = loop.work_dir.glob("prototypes/teacher_*.npz")
    with np.load(kept) as arrays:
        changed = {key: arrays[key][1:] for key in arrays.files}
    np.savez(kept, **changed)
    with pytest.raises(DataError, match="made of other images than those that can be read now"):
        PrototypeHook(**SETTINGS).before_training(loop)


def test_ranks_look_at_their_images_and_share_what_they_saw(loop, monkeypatch):
    """Both ranks one after the other: the first ends where it would wait for the second."""
    hook = PrototypeHook(**SETTINGS)
    teacher = loop.distiller.teacher
    alone = hook._make_reader(loop).read(loop.detector, teacher, "alone")

    class WaitingError(Exception):
        pass

    def wait():
        raise WaitingError

    monkeypatch.setattr(candidates, "world_size", lambda: 2)
    for number, waiting in ((1, wait), (0, lambda: None)):
        monkeypatch.setattr(candidates, "rank", lambda number=number: number)
        monkeypatch.setattr(candidates, "_wait_for_all", waiting)
        if number:
            with pytest.raises(WaitingError):
                hook._make_reader(loop).read(loop.detector, teacher, "rank 1")
    shared = hook._make_reader(loop).read(loop.detector, teacher, "rank 0")
    assert len(alone.labels) == len(shared.labels) > 5
    for each in ("labels", "boxes", "student", "teacher"):
        order = [np.lexsort((*found.boxes.T, found.images)) for found in (alone, shared)]
        np.testing.assert_array_equal(getattr(alone, each)[order[0]], getattr(shared, each)[order[1]])
    loop.work_dir = None
    with pytest.raises(ConfigError, match="several processes share candidates in the work_dir"):
        hook._make_reader(loop).read(loop.detector, teacher, "nowhere")


def test_what_is_random_in_training_is_drawn_once_for_an_image(loop):
    loop.dataset.transforms = Compose([RandomFlip(0.5)])
    hooks = [PrototypeHook(**SETTINGS | {"transforms": None}) for _ in range(2)]
    for hook in hooks:
        hook.before_training(loop)
    np.testing.assert_array_equal(hooks[0].prototypes.student, hooks[1].prototypes.student)


def test_a_resumed_run_goes_on_with_the_prototypes_of_its_epoch(loop):
    first, second, third = (PrototypeHook(**SETTINGS) for _ in range(3))
    first.before_training(loop)
    second.load_state_dict(first.state_dict())
    calls = loop.detector.calls
    second.before_training(loop)
    assert loop.detector.calls == calls
    np.testing.assert_array_equal(loop.distiller.terms[0].prototypes.student, first.prototypes.student)
    third.load_state_dict(first.state_dict())
    loop.detector = Colours(8, seed=0)
    with pytest.raises(CheckpointError, match=r"have .* \(2, 5, 6, 4\), this run has \(2, 5, 8, 4\)"):
        third.before_training(loop)


def test_what_cannot_have_prototypes_is_refused(loop):
    hook = PrototypeHook(**SETTINGS)
    loop.distiller.lessons = [Lesson(RobustFeatures(weighted=False))]
    with pytest.raises(ConfigError, match="no term compares with prototypes"):
        hook.before_training(loop)
    loop.distiller.lessons = [Lesson(GlobalKnowledge()), Lesson(RobustLabels(), "other")]
    with pytest.raises(ConfigError, match="name other, teacher: name one"):
        hook.before_training(loop)
    loop.distiller.lessons = [Lesson(GlobalKnowledge())]
    with pytest.raises(ConfigError, match="has sides above 99 px"):
        PrototypeHook(**SETTINGS | {"min_side_px": 99.0}).before_training(loop)
    loop.dataset = DrawnOrientedDataset(split="train", num_images=2)
    with pytest.raises(ConfigError, match="needs labelled upright boxes"):
        hook.before_training(loop)
    with pytest.raises(ConfigError, match="must be 1 or more"):
        PrototypeHook(interval=0)
