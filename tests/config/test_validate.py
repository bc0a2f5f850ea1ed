import warnings

import pytest

from jld import registry as reg
from jld.config import (
    apply_overrides,
    check_config,
    fill_defaults,
    load_config,
    prepare_config,
    validate_config,
)
from jld.errors import ConfigError

pytestmark = pytest.mark.usefixtures("toy_parts")


def problems(path, *overrides):
    """Problems of the valid config after overrides, without the file name every one of them starts with."""
    found = validate_config(apply_overrides(load_config(path), overrides))
    assert all(problem.startswith(f"{path}: ") for problem in found)
    return [problem.removeprefix(f"{path}: ") for problem in found]


def test_a_valid_config_is_silent(valid_file):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = load_config(valid_file)
        assert validate_config(config) == []
        check_config(config)
        assert validate_config(fill_defaults(config)) == []


def test_several_optimizers_and_schedules_are_valid(valid_file):
    first, second = "{type: SGD, lr: 0.1, match: 'x.*'}", "{type: SGD, lr: 0.1, match: ['*'], but_not: 'x.*'}"
    two = f"optimizer={{a: {first}, b: {second}}}"
    assert problems(valid_file, two, "scheduler={a: {type: StepLR, milestones: [3]}}") == []


def test_a_plain_student_and_an_inference_config_are_valid(valid_file):
    assert problems(valid_file, "distill=null") == []
    assert (
        problems(valid_file, "dataset.train=null", "optimizer=null", "scheduler=null", "max_epoch=null") == []
    )


# override -> the one problem it causes
CASES = {
    "modle={}": "modle: unknown key: did you mean 'model'?",
    "max_epochs=3": "max_epochs: unknown key: did you mean 'max_epoch'?",
    "i=3": "i: unknown key: start the name of a helper variable with an underscore.",
    "seed=abc": "seed: must be int, got 'abc'.",
    "seed=-1": "seed: must be at least 0, got -1.",
    "max_epoch=0": "max_epoch: must be at least 1, got 0.",
    "max_epoch=1.5": "max_epoch: must be int or None, got 1.5.",
    "amp=true": "amp: True is not served here: write precision='bfloat16' or precision='float16'.",
    "merge_iou_threshold=high": "merge_iou_threshold: must be float or dict or None, got 'high'.",
    "merge_iou_threshold=-0.1": "merge_iou_threshold: must be at least 0, got -0.1.",
    "merge_iou_threshold={ship: x}": "merge_iou_threshold: must be float or dict or None, got {'ship': 'x'}.",
    "hooks=[{type: EMAHooks}]": "hooks.0: unknown hook 'EMAHooks': did you mean 'EMAHook'?",
    "precision=bf16": (
        "precision: must be 'float32' or 'bfloat16' or 'float16', got 'bf16'. Did you mean 'bfloat16'?"
    ),
    "precision=null": "precision: must be 'float32' or 'bfloat16' or 'float16', got None.",
    "fp16={loss_scale: 512}": "fp16: {'loss_scale': 512} is not served here: write precision='float16', ",
    "flip_test=[X]": "flip_test: must be list of 'H' or 'V' or 'HV' or None, got ['X'].",
    "merge_nms_threshold_type=7": "merge_nms_threshold_type: 7 is not served here: must be 0, 1 or 2; or",
    "imports=a.py": "imports: must be list of str or None, got 'a.py'.",
    "max_iter=100": "max_iter: max_epoch and max_iter are both set: set one of them to None.",
    "max_epoch=null": "max_epoch: dataset.train is given, so either max_epoch or max_iter must be set.",
    "optimizer=null": "optimizer: dataset.train is given, so an optimizer is needed.",
    "model.backbone.type=ToyNets": "model.backbone: unknown backbone 'ToyNets': did you mean 'ToyNet'?",
    "model.backbone.type=3": "model.backbone.type: must be a registered name, got 3.",
    "model.neck.type=ToyNet": (
        "model.neck: 'ToyNet' is a backbone, but a neck belongs here: did you mean 'ToyNeck'?"
    ),
    "model.type=Xyz": "model: unknown detector 'Xyz': known are: ToyDetector",
    "model=3": "model: must be dict, got 3.",
    "model.backbone.detph=50": (
        "model.backbone.detph: ToyNet takes no argument 'detph': did you mean 'depth'?"
    ),
    "model.backbone.windows=7": (
        "model.backbone.windows: ToyNet takes no argument 'windows': known are: depth, frozen_stages, "
        "norm_eval, pretrained. If the key comes from a base, write _cover_=True beside `type`."
    ),
    "model.backbone.depth='50'": "model.backbone.depth: must be int, got '50'.",
    "model.backbone.norm_eval=1": "model.backbone.norm_eval: must be bool, got 1.",
    "model.neck.in_channels.0=a": "model.neck.in_channels: must be list of int, got ['a', 512].",
    "model.neck.size=[1, 2, 3]": "model.neck.size: must be 2 values (int, int), got [1, 2, 3].",
    "model.neck={in_channels: [1]}": "model.neck: needs a `type` that names a neck: known are: ToyNeck",
    "model.backbone={type: ToyNet}": "model.backbone.depth: ToyNet needs this argument.",
    "model.bbox_head.loss_cls.type=ToyLos": (
        "model.bbox_head.loss_cls: unknown loss 'ToyLos': did you mean 'ToyLoss'?"
    ),
    "model.bbox_head.test.nms={type: Xyz}": "model.bbox_head.test.nms: unknown type 'Xyz': known are: ",
    "optimizer.params=[]": "optimizer.params: SGD takes no argument 'params': ",
    "optimizer.lr=fast": "optimizer.lr: must be float, got 'fast'.",
    "optimizer={a: {type: SGD, lr: 0.1, match: 'x.*'}, b: {type: SGD, lr: 0.1}}": (
        "optimizer.b.match: this key is required, as there are several."
    ),
    "optimizer={a: {type: SGD, lr: 0.1, match: 'x.*', but_not: 3}}": (
        "optimizer.a.but_not: must be str or list or None, got 3."
    ),
    "optimizer={a: {type: SGD, lr: slow, match: ['x.*']}}": "optimizer.a.lr: must be float, got 'slow'.",
    "optimizer.match=x": "optimizer.match: SGD takes no argument 'match': ",
    "optimizer={lr: 0.1}": "optimizer: needs a `type` that names an optimizer: known are: SGD",
    "scheduler={a: {type: StepLR}}": "scheduler.a.milestones: StepLR needs this argument.",
    "scheduler={a: {type: StepLR, milestones: [1], match: x}}": (
        "scheduler.a.match: StepLR takes no argument 'match': "
    ),
    "scheduler.milestone=[1]": (
        "scheduler.milestone: StepLR takes no argument 'milestone': did you mean 'milestones'?"
    ),
    "logger.type=SGD": "logger: 'SGD' is an optimizer, but a hook belongs here: ",
    "ema={type: Nothing}": "ema: unknown hook 'Nothing': ",
    "ema.decya=0.9": "ema.decya: EMAHook takes no argument 'decya': did you mean 'decay'?",
    "auto_scale_lr.base_batchsize=8": (
        "auto_scale_lr.base_batchsize: unknown key: did you mean 'base_batch_size'?"
    ),
    "auto_scale_lr.base_batch_size=0": "auto_scale_lr.base_batch_size: must be at least 1, got 0.",
    "parameter_groups_generator={type: Xyz}": (
        "parameter_groups_generator: {'type': 'Xyz'} is not served here: write rules into optimizer."
    ),
    "model.bbox_head.loss_cls=ToyLoss": (
        "model.bbox_head.loss_cls: must be dict(type=...) of a loss, got 'ToyLoss'."
    ),
    "distill.terms.0.schedule={strat: 3}": (
        "distill.terms.0.schedule.strat: TermSchedule takes no argument 'strat': did you mean 'start'?"
    ),
    "distill.terms.0.schedule={start: soon}": "distill.terms.0.schedule.start: must be int, got 'soon'.",
    "distill.terms.0.schedule={start: -3}": "distill.terms.0.schedule: a toy cannot start in step -3.",
    "distill.terms.0.schedule={decay: linaer}": (
        "distill.terms.0.schedule.decay: must be 'constant' or 'linear', got 'linaer'."
    ),
    "distill.terms.0.schedule={type: ToyNet, depth: 1}": (
        "distill.terms.0.schedule: 'ToyNet' is a backbone, but a schedule of a term belongs here: "
    ),
    "distill.terms.1.teacher=large": "distill.terms.1.teacher: unknown teacher 'large': ",
    "distill.terms=[]": "distill.terms: there are no terms, so nothing would be distilled: ",
    "dataset.tran={}": "dataset.tran: unknown key: did you mean 'train'?",
    "dataset.train.type=ToyDatset": "dataset.train: unknown dataset 'ToyDatset': did you mean 'ToyDataset'?",
    "dataset.train.batchsize=2": (
        "dataset.train.batchsize: ToyDataset takes no argument 'batchsize': did you mean 'batch_size'?"
    ),
    "dataset.train.batch_size=0": "dataset.train.batch_size: must be at least 1, got 0.",
    "dataset.train.shuffle=2": "dataset.train.shuffle: must be bool, got 2.",
    "dataset.train.transforms.0.type=Resize": (
        "dataset.train.transforms.0: unknown transform 'Resize': did you mean 'ToyResize'?"
    ),
    "dataset.train.transforms.0={max_size: 1}": (
        "dataset.train.transforms.0: needs a `type` that names a transform: "
    ),
    "dataset.train.transforms.0.min_size=big": (
        "dataset.train.transforms.0.min_size: must be int or list of int, got 'big'."
    ),
    "dataset.val.evaluator=ToyEval": (
        "dataset.val.evaluator: unknown evaluator 'ToyEval': did you mean 'ToyEvaluator'?"
    ),
    "dataset.val.evaluator.metrik=07": (
        "dataset.val.evaluator.metrik: ToyEvaluator takes no argument 'metrik': did you mean 'metric'?"
    ),
    "distill.term=[]": "distill.term: unknown key: did you mean 'terms'?",
    "distill.teacher=null": "distill.teacher: terms need a teacher: add dict(config=..., checkpoint=...).",
    "distill.teacher.checkpiont=x": (
        "distill.teacher.checkpiont: FrozenTeacher takes no argument 'checkpiont': did you mean 'checkpoint'?"
    ),
    "distill.teacher={}": "distill.teacher.config: FrozenTeacher needs this argument.",
    "distill.terms.0=main": "distill.terms.0: must be dict(type=..., ...), got 'main'.",
    "distill.terms.0.region=maim": "distill.terms.0.region: unknown region 'maim': did you mean 'main'?",
    "distill.terms.0.type=ToyLoss": (
        "distill.terms.0: 'ToyLoss' is a loss, but a distillation term belongs here: known are: ToyTerm."
    ),
    "distill.regions.mine.type=ToyNet": (
        "distill.regions.mine: 'ToyNet' is a backbone, but a region belongs here: known are: main"
    ),
}


@pytest.mark.parametrize("override", CASES)
def test_one_mistake_gives_one_problem(valid_file, override):
    found = problems(valid_file, override)
    assert len(found) == 1, found
    assert found[0].startswith(CASES[override])


def test_a_missing_model_is_reported(write):
    path = write("empty.py", "")
    assert validate_config(load_config(path)) == [f"{path}: model: this key is required."]


@pytest.mark.parametrize("text", ["optimizer = dict(type='SGD', lr=1.0)", "dataset = dict()", "nc = 80"])
def test_a_part_of_a_config_is_no_config(tmp_path, text):
    path = tmp_path / "part.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"part\.py: this is a part of a config, without a model: run the"):
        prepare_config(path)


def test_code_in_a_config_is_not_plain_data(write):
    path = write(
        "run.py",
        "model = dict(type='ToyDetector', backbone=dict(type='ToyNet', depth=lambda: 1), bbox_head=None)",
    )
    found = validate_config(load_config(path))
    assert (
        f"{path}: model.backbone.depth: a function is not plain data; name a registered `type` instead."
        in found
    )


def test_check_config_lists_all_problems_in_one_error(valid_file):
    config = apply_overrides(load_config(valid_file), ["max_epochs=3", "model.backbone.detph=1", "seed=x"])
    with pytest.raises(ConfigError) as error:
        check_config(config)
    lines = str(error.value).splitlines()
    assert lines[0] == "this config cannot be run, it has 3 problems:"
    assert all(line.startswith(f"  {valid_file}: ") for line in lines[1:]) and len(lines) == 4
    with pytest.raises(ConfigError, match="it has one problem"):
        check_config(apply_overrides(load_config(valid_file), ["seed=x"]))


def test_problems_inside_unknown_parts_are_found_too(valid_file):
    found = problems(valid_file, "model.type=Nothing", "model.backbone.detph=1")
    assert len(found) == 2 and "detph" in found[1]


def test_plain_dicts_in_memory_can_be_checked(valid_file):
    config = dict(load_config(valid_file))
    assert validate_config(config) == []
    assert validate_config({**config, "seed": "x"}) == ["seed: must be int, got 'x'."]


def test_variable_keywords_accept_anything(valid_file):
    class Free:
        def __init__(self, depth: int, **rest):
            self.rest = rest

    reg.BACKBONES.register(Free)
    assert problems(valid_file, "model.backbone={type: Free, depth: 1, whatever: 2}") == []
    assert problems(valid_file, "model.backbone={type: Free, depth: a}") == [
        "model.backbone.depth: must be int, got 'a'."
    ]


def test_a_section_that_distils_nothing_is_refused(valid_file):
    silent = ["distill.terms.0.weight=0", "distill.terms.1.weight=0.0"]
    assert problems(valid_file, *silent[:1]) == problems(valid_file, *silent[1:]) == []
    (said,) = problems(valid_file, *silent)
    assert said.startswith(
        "distill.terms: all weights are 0, so nothing would be distilled: set distill=None"
    )
    (said,) = problems(valid_file, "distill={}")
    assert said.startswith("distill.terms: there are no terms")


def test_terms_may_be_left_out_where_one_frozen_teacher_decides_on_them(valid_file):
    frozen = "distill.teacher={config: t.py, checkpoint: t.pth}"
    assert problems(valid_file, frozen, "distill.terms=null") == []
    two = "distill={teachers: {a: {config: t.py}, b: {config: t.py}}}"
    for other in ("distill.teacher={type: ToyNet, depth: 1}", two):
        assert any("there are no terms" in said for said in problems(valid_file, other, "distill.terms=null"))


def test_a_term_that_would_start_after_the_training_is_refused(valid_file):
    steps = ["max_epoch=null", "max_iter=400"]
    assert problems(valid_file, *steps, "distill.terms.1.schedule={start: 399}") == []
    assert problems(valid_file, *steps, "distill.terms.1.schedule={start: 400}") == [
        "distill.terms.1.schedule.start: the term would never act: it starts in step 400, and max_iter=400 "
        "ends the training."
    ]
