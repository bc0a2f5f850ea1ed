"""Teacher, student and terms put together, with a real detector that is small in everything but its parts."""

from pathlib import Path

import numpy as np
import pytest

from jld.apis import register_parts
from jld.checkpoint import read_checkpoint, write_safetensors, write_training_state
from jld.config import Config, load_config, to_plain
from jld.data import DrawnDataset, collate
from jld.data.transforms import Normalize
from jld.distill import FrozenTeacher, Step, build_distiller
from jld.errors import ConfigError
from jld.models import InputStatistics, Targets, assign_state, build_detector
from jld.models.normalisation import renormalise
from jld.optim import SGD, Optimizers
from jld.registry import build
from jld.runner import TrainingLoop
from jld.runner.parts import trainable_parameters
from jld.runner.state import collect_state, model_arrays
from jld.toolchain import jittor as jt

ROOT = Path(__file__).resolve().parents[2]
SIDE = 64
MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
STATISTICS = InputStatistics(MEAN, STD, is_rgb=True)
PIPELINE = [
    dict(type="Normalize", mean=list(MEAN), std=list(STD), to_rgb=True),
    dict(type="Pad", size_divisor=32),
]
LD = dict(type="LocalizationKD", temperature=10, reduction="per_image")
TERMS = [
    dict(LD, region="main", weight=0.5),
    dict(LD, region="vlr", weight=0.125, weighting="iou"),
    dict(type="ClassificationKD", region="main", weight=10.0),
]


def tiny_config(*, num_classes=5, strides=(8, 16, 32), reg_max=16):
    """The quick start's detector with an eighth of the channels and fixed BN statistics."""
    model = to_plain(load_config(ROOT / "configs/quick_start/gfl_student.py").model)
    model["backbone"].update(base_channels=8, norm_eval=True)
    model["neck"].update(in_channels=[8, 16, 32, 64], out_channels=16)
    head = dict(num_classes=num_classes, in_channels=16, feat_channels=16, stacked_convs=1, reg_max=reg_max)
    model["bbox_head"].update(head)
    model["bbox_head"]["priors"]["strides"] = list(strides)
    return Config({"model": model, "dataset": {"train": {"transforms": PIPELINE}}})


@pytest.fixture(scope="module", autouse=True)
def parts():
    register_parts()


@pytest.fixture(scope="module")
def weights():
    """Two sets of weights for the tiny detector: the student's and the teacher's."""
    shapes = {name: tuple(var.shape) for name, var in build_detector(tiny_config()).state_dict().items()}
    return [
        {name: fill(name, shape, rng) for name, shape in shapes.items()}
        for rng in map(np.random.default_rng, (0, 1))
    ]


def fill(name, shape, rng):
    """Values from NumPy: drawing them in Jittor would compile a kernel per initialisation."""
    if len(shape) == 4:
        return rng.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)
    is_factor = name.endswith(("weight", "running_var", "scale"))
    return rng.uniform(0.8, 1.2, shape).astype(np.float32) if is_factor else np.zeros(shape, np.float32)


@pytest.fixture(scope="module")
def batches():
    """Three batches of two images; one image has no object."""
    data = DrawnDataset("train", num_images=40, image_size=SIDE, transforms=build(PIPELINE), max_objects=3)
    samples = [data.get(index, np.random.default_rng(index)) for index in range(len(data))]
    empty = [sample for sample in samples if not len(sample["boxes"])]
    full = [sample for sample in samples if len(sample["boxes"])]
    assert empty
    return [collate(full[:2]), collate([full[2], empty[0]]), collate(full[3:5])]


@pytest.fixture
def teacher_file(tmp_path, weights):
    path = tmp_path / "teacher.safetensors"
    write_safetensors(path, weights[1], {})
    return str(path)


def new_student(weights):
    student = build_detector(tiny_config())
    assign_state(student, weights[0], what="the test's weights")
    student.train()
    return student


def distilled(student, teacher_file, terms=TERMS, **teacher):
    section = {"teacher": {"config": tiny_config(), "checkpoint": teacher_file, **teacher}, "terms": terms}
    return build_distiller(section, student)


class Batches:
    """A loader that serves the same batches in every epoch."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def epoch(self, epoch, start=0):
        yield from self.batches[start:]


def make_loop(student, batches, distiller):
    optimizer = SGD(trainable_parameters(student, distiller), 0.01, momentum=0.9, weight_decay=1e-4)
    return TrainingLoop(student, Batches(batches), optimizer, distiller=distiller, max_epoch=1)


def trained(student, batches, distiller):
    make_loop(student, batches, distiller).run()
    return model_arrays(student)


def distillation_losses(student, distiller, batch):
    losses = distiller(step_of_batch(student, batch))
    return {name: float(value.numpy().item()) for name, value in losses.items()}


def step_of_batch(student, batch):
    images, targets = jt.array(batch["images"]), Targets.from_batch(batch)
    features = student.features(images)
    return Step(images, targets, student, features, student.predict(features, targets))


def test_without_distill_the_student_is_the_plain_one_bit_for_bit(weights, batches, teacher_file):
    plain = new_student(weights)
    optimizer = Optimizers(SGD(dict(plain.named_parameters()), 0.01, momentum=0.9, weight_decay=1e-4))
    for batch in batches:
        targets = Targets.from_batch(batch)
        losses = plain.losses(plain.predict(plain.features(jt.array(batch["images"])), targets), targets)
        optimizer.backward(losses["loss_cls"] + losses["loss_bbox"] + losses["loss_dfl"])
        jt.sync_all()  # at the same places as the loop: other graphs would be fused and rounded otherwise
        optimizer.step()
        jt.sync_all()
    expected = model_arrays(plain)

    student = new_student(weights)
    assert build_distiller(None, student) is None
    got = trained(student, batches, None)
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)

    taught = new_student(weights)
    other = trained(taught, batches, distilled(taught, teacher_file))
    name = "bbox_head.gfl_reg.weight"
    assert np.abs(other[name] - expected[name]).max() > 1e-6, "a teacher must make a difference"


def test_terms_of_weight_zero_leave_no_cost_and_a_section_of_them_alone_is_refused(
    weights, batches, teacher_file
):
    student = new_student(weights)
    silent = [dict(term, weight=0) for term in TERMS]
    for terms in ([], silent):
        nowhere = {"teacher": {"config": "nowhere.py", "checkpoint": "nowhere.pth"}, "terms": terms}
        with pytest.raises(ConfigError, match="would distil nothing"):  # the teacher is not even read
            build_distiller(nowhere, student)
    one = distilled(student, teacher_file, [silent[0], *TERMS[1:2], silent[2]])
    assert [term.name for term in one.terms] == ["loss_ld_vlr"]
    plain = make_loop(student, batches, None).losses_of(batches[0])
    taught = make_loop(student, batches, one).losses_of(batches[0])
    assert set(taught) == {*plain, "loss_ld_vlr"}
    for name, value in plain.items():
        # One more reader of the logits may be fused with what computes a loss: equal up to rounding.
        np.testing.assert_allclose(taught[name].numpy(), value.numpy(), rtol=1e-6, err_msg=name)
    assert "region/main" not in one.log_values(), "a region that no term asks for is not computed"


def test_what_terms_weigh_beside_the_task_is_said(weights, teacher_file):
    distiller = distilled(new_student(weights), teacher_file)
    names = [term.name for term in distiller.terms]
    losses = dict(zip(names, (0.01, 3.0, 0.0), strict=True))
    said = distiller.describe_shares({"loss_cls": 1.0, "loss_bbox": 1.0, "loss_cls.tea": 9.0, **losses})
    assert list(said) == names[:2], "a term that has not acted yet is not weighed"
    assert said[names[0]].startswith(f"{names[0]} is 0.5 % of the task losses: too small to teach much;")
    assert said[names[1]].startswith(f"{names[1]} is 150 % of the task losses: it leads,")
    whole = distiller.describe_shares({"loss_cls": 1.0, names[2]: 0.5})
    assert whole == {names[2]: f"{names[2]} is 50 % of the task losses"}
    assert distiller.describe_shares({names[2]: 0.5}) == {}
    assert distiller.silent_terms({"loss_cls": 0.0, **losses}) == names[2:]


def test_terms_that_are_not_given_are_chosen_and_shown(weights, teacher_file):
    section = {"teacher": {"config": tiny_config(), "checkpoint": teacher_file}, "terms": None}
    distiller = build_distiller(section, new_student(weights))
    assert [term["type"] for term in section["terms"]] == [type(term).__name__ for term in distiller.terms]
    assert [term.name for term in distiller.terms] == ["loss_ld", "loss_ld_vlr", "loss_kd"]


def test_teacher_never_changes_and_is_saved_nowhere(weights, batches, teacher_file, tmp_path):
    student = new_student(weights)
    own_names = set(student.state_dict())
    distiller = distilled(student, teacher_file)
    distillation_losses(student, distiller, batches[0])
    before = model_arrays(distiller.teacher.detector)
    loop = make_loop(student, batches, distiller)
    loop.run()
    after = model_arrays(distiller.teacher.detector)
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)
    assert all(parameter.is_stop_grad() for parameter in distiller.teacher.detector.parameters())

    teacher_ids = {id(var) for var in distiller.teacher.detector.state_dict().values()}
    assert not teacher_ids & {id(var) for var in student.state_dict().values()}
    assert set(trainable_parameters(student, distiller)) == set(dict(student.named_parameters()))
    state = collect_state(loop, Config({"model": {}}), classes=())
    path = tmp_path / "last.pkl"
    write_training_state(path, state)
    assert set(read_checkpoint(path).state) == set(state["model"]) == own_names == set(student.state_dict())


def test_own_input_statistics_of_the_teacher():
    rng = np.random.default_rng(3)
    wanted = InputStatistics((90.0, 95.0, 105.0), (1.0, 2.0, 4.0), is_rgb=False)
    pixels = rng.uniform(0, 255, (2, 3, 32, 32)).astype(np.float32)  # RGB
    shapes = np.array([[32, 20], [25, 32]], np.float32)
    inside = np.zeros((2, 1, 32, 32), np.float32)
    for row, (height, width) in zip(inside, shapes.astype(int), strict=True):
        row[:, :height, :width] = 1

    def normalised(images, statistics):
        mean, std = (np.reshape(values, (1, 3, 1, 1)) for values in (statistics.mean, statistics.std))
        return ((images - mean) / std * inside).astype(np.float32)

    given = jt.array(normalised(pixels, STATISTICS))
    got = renormalise(given, shapes, STATISTICS, wanted).numpy()
    # 255 / std float32 steps of the pixel values are 3e-5.
    np.testing.assert_allclose(got, normalised(pixels[:, ::-1], wanted), atol=2e-4)
    assert (got * (1 - inside) == 0).all(), "padding stays zero"
    assert renormalise(given, shapes, None, wanted) is given
    assert renormalise(given, shapes, STATISTICS, STATISTICS) is given


@pytest.mark.parametrize(
    ("order", "is_rgb"),
    [({}, True), ({"to_rgb": False}, False), ({"to_bgr": True}, False), ({"to_bgr": False}, True)],
)
def test_the_order_of_channels_is_read_as_the_transform_reads_it(order, is_rgb):
    section = {"type": "Normalize", "mean": [1, 2, 3], "std": [1, 1, 1], **order}
    found = InputStatistics.from_config({"dataset": {"train": {"transforms": [section]}}})
    assert found.is_rgb is is_rgb is Normalize([1, 2, 3], [1, 1, 1], **order).to_rgb


def test_teacher_sees_its_own_statistics_unless_told_otherwise(batches, teacher_file):
    config = tiny_config()
    config.dataset.train.transforms[0].update(mean=[100.0, 90.0, 110.0], std=[30.0, 45.0, 90.0], to_rgb=False)
    own = FrozenTeacher(config, teacher_file)
    released = FrozenTeacher(config, teacher_file, input_statistics="student")
    images, targets = jt.array(batches[0]["images"]), Targets.from_batch(batches[0])
    changed = renormalise(images, targets.img_shapes, STATISTICS, InputStatistics.from_config(config))
    student = build_detector(tiny_config())

    def logits(teacher, x):
        trace = teacher(Step(x, targets, student, (), None))
        return trace.stage().predictions["box_logits"].numpy()

    seen = {"own": logits(own, images), "student": logits(released, images)}
    np.testing.assert_array_equal(seen["own"], logits(released, changed))
    same = FrozenTeacher(tiny_config(), teacher_file)
    np.testing.assert_array_equal(seen["student"], logits(same, images))
    assert np.abs(seen["own"] - seen["student"]).max() > 1e-4


def test_self_distillation_starts_at_zero(weights, batches, tmp_path):
    student = new_student(weights)
    path = tmp_path / "itself.safetensors"
    write_safetensors(path, weights[0], {})
    distiller = distilled(student, str(path))
    at_start = distillation_losses(student, distiller, batches[0])
    assert set(at_start) == {"loss_ld", "loss_ld_vlr", "loss_kd"}
    assert max(map(abs, at_start.values())) < 1e-6
    trained(student, batches, distiller)
    later = distillation_losses(student, distiller, batches[0])
    assert all(later[name] > 10 * abs(value) for name, value in at_start.items()), (at_start, later)


def test_per_image_terms_do_not_depend_on_the_batch(weights, batches, teacher_file):
    student = new_student(weights)
    distiller = distilled(student, teacher_file, TERMS[:2])
    for batch in batches[:2]:
        together = distillation_losses(student, distiller, batch)
        singles = [
            distillation_losses(student, distiller, {key: values[k : k + 1] for key, values in batch.items()})
            for k in range(2)
        ]
        assert min(together.values()) > 0
        for name, value in together.items():
            np.testing.assert_allclose(value, np.mean([single[name] for single in singles]), rtol=1e-5)


@pytest.fixture
def no_evaluation(monkeypatch):
    """Whatever would make Jittor compute, and so compile, fails."""

    def refuse(*args, **kwargs):
        raise AssertionError("a kernel would be compiled here")

    for name in ("numpy", "item", "data", "sync", "fetch_sync", "tolist", "list"):
        if hasattr(jt.Var, name):
            monkeypatch.setattr(jt.Var, name, refuse)
    for name in ("sync_all", "sync", "fetch_sync"):
        monkeypatch.setattr(jt, name, refuse)


@pytest.mark.parametrize(
    ("differs", "said"),
    [
        (dict(num_classes=7), ["ClassificationKD compares cls_logits", "(5,)", "(7,)"]),
        (dict(reg_max=8), ["LocalizationKD compares box_logits", "(4, 17)", "(4, 9)"]),
        (dict(strides=(8, 16, 64)), ["strides differ: student (8, 16, 32), teacher (8, 16, 64)"]),
        (
            dict(num_classes=7, reg_max=8, strides=(8, 16, 64)),
            ["strides differ", "LocalizationKD compares box_logits", "ClassificationKD compares cls_logits"],
        ),
    ],
)
def test_teacher_that_does_not_suit_is_refused_before_anything_is_compiled(
    differs, said, tmp_path, no_evaluation
):
    student = build_detector(tiny_config())
    shapes = {
        name: tuple(var.shape) for name, var in build_detector(tiny_config(**differs)).state_dict().items()
    }
    path = tmp_path / "other.safetensors"
    write_safetensors(path, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, {})
    section = {"teacher": {"config": tiny_config(**differs), "checkpoint": str(path)}, "terms": TERMS}
    with pytest.raises(ConfigError) as caught:
        build_distiller(section, student)
    message = str(caught.value)
    assert message.startswith("this teacher cannot teach this student:\n")
    for part in said:
        assert message.count(part) == 1, message
    if len(differs) == 1:
        assert len(message.splitlines()) == 2, "only what differs is complained about"


def filled_teacher(config, path, seed):
    """The `teacher` section of a config with drawn weights."""
    shapes = {name: tuple(var.shape) for name, var in build_detector(config).state_dict().items()}
    rng = np.random.default_rng(seed)
    write_safetensors(path, {name: fill(name, shape, rng) for name, shape in shapes.items()}, {})
    return {"config": config, "checkpoint": str(path)}


def two_teachers(weights, tmp_path, second, terms, student):
    """The tiny detector's teacher, and another one, as `teachers` of one distiller."""
    sections = {
        "same": filled_teacher(tiny_config(), tmp_path / "same.safetensors", 1),
        "other": filled_teacher(second, tmp_path / "other.safetensors", 2),
    }
    section = {"teachers": sections, "terms": terms}
    return build_distiller(section, student)


def test_several_teachers_bins_of_their_own_and_schedules(weights, batches, tmp_path):
    student = new_student(weights)
    terms = [
        dict(TERMS[0], teacher="same", schedule=dict(start=1, warmup=1)),
        dict(TERMS[1], teacher="other", support="projected"),
        dict(TERMS[2], teacher="other", name="loss_kd_other"),
        dict(TERMS[2], teacher="same", schedule=dict(stop=1)),
    ]
    distiller = two_teachers(weights, tmp_path, tiny_config(reg_max=8), terms, student)
    said = distiller.describe(student)
    assert "loss_ld: " in said and "from same with start=1, warmup=1" in said and "4x9" in said
    loop = make_loop(student, batches, distiller)
    assert set(loop.losses_of(batches[0])) >= {"loss_ld", "loss_ld_vlr", "loss_kd_other", "loss_kd"}
    seen = []
    for step in range(3):
        loop.iteration = step
        losses = {name: float(value.item()) for name, value in loop.losses_of(batches[0]).items()}
        logged = {name: float(value.item()) for name, value in distiller.log_values().items()}
        seen.append((losses, logged))
    assert seen[0][0]["loss_ld"] == 0 < seen[1][0]["loss_ld"]
    np.testing.assert_allclose(seen[1][0]["loss_ld"] * 2, seen[2][0]["loss_ld"], rtol=1e-5)
    assert [losses["loss_kd"] > 0 for losses, _ in seen] == [True, False, False]
    assert seen[0][0]["loss_ld_vlr"] > 0 and seen[0][0]["loss_kd_other"] != seen[0][0]["loss_kd"]
    logged = seen[1][1]
    assert logged["factor/loss_ld"] == 0.5
    np.testing.assert_allclose(seen[1][0]["loss_ld"], 0.5 * 0.5 * logged["raw/loss_ld"], rtol=1e-5)
    assert logged["region/main"] > 0 and not any("@" in name for name in logged), "no region reads a teacher"


def test_features_are_compared_on_the_strides_both_have(weights, batches, tmp_path):
    student = new_student(weights)
    other = tiny_config(strides=(16, 32))
    other.model.neck.update(start_level=2, num_outs=2)
    section = {
        "teacher": filled_teacher(other, tmp_path / "other.safetensors", 1),
        "terms": [dict(type="FeatureImitation", region="all", reduction="per_level_mean")],
    }
    distiller = build_distiller(section, student)
    assert distillation_losses(student, distiller, batches[0])["loss_im_all"] > 0
    images = jt.array(batches[0]["images"])
    sizes = [[x.shape[2] for x in each(images).features] for each in (student, distiller.teacher.detector)]
    assert sizes == [[8, 4, 2], [4, 2]]
    section["terms"] = [dict(type="LocalizationKD"), dict(type="FeatureImitation")]
    with pytest.raises(ConfigError, match=r"strides differ: student \(8, 16, 32\), teacher \(16, 32\)"):
        build_distiller(section, student)


def test_what_teachers_and_terms_cannot_be_is_said_before_anything_is_compiled(
    weights, tmp_path, no_evaluation
):
    student = build_detector(tiny_config())

    def refused(terms, match, **changes):
        with pytest.raises(ConfigError, match=match):
            two_teachers(weights, tmp_path, tiny_config(**changes), terms, student)

    refused([dict(TERMS[0])], "there are several teachers")
    refused([dict(TERMS[0], teacher="sam")], "unknown teacher 'sam'")
    both = [dict(TERMS[0], teacher="same"), dict(TERMS[1], teacher="other")]
    refused(both, "the teacher 'other' cannot teach this student:\n  LocalizationKD compares", reg_max=8)
    wide = tiny_config()
    wide.model.neck.update(out_channels=24)
    wide.model.bbox_head.update(in_channels=24)
    section = {"teacher": {"config": wide}, "terms": [dict(type="FeatureImitation")]}
    with pytest.raises(ConfigError, match="16 channels, the teacher's 24: add adapter='1x1'"):
        build_distiller(section, student)
    section["terms"] = [
        dict(type="FeatureImitation", adapter="1x1", student_channels=16, teacher_channels=32)
    ]
    with pytest.raises(ConfigError, match="teacher_channels is 32, but the teacher's maps have 24"):
        build_distiller(section, student)
