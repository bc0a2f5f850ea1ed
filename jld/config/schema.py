"""Which keys a config may have: one table for validation, defaults and documentation.

Sections with a `type` are not listed here: the constructor of the class they name is their schema.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jld import registry as reg
from jld.config.annotations import describe
from jld.config.config import Config, config_file
from jld.config.constructors import argument_meanings, constructor_parameters
from jld.registry import Registry, find

REQUIRED = object()


@dataclass(frozen=True)
class Key:
    """One key of a section that has no constructor.

    Attributes:
        name: the key.
        kind: annotation of its value.
        default: value where the key is absent, or REQUIRED.
        meaning: one line for the documentation.
        registry: where the `type` of its section is looked up; None for any registry.
        minimum: smallest number allowed, or None.
        default_type: the `type` of its section where none is written.
        several: keys beside the constructor's, where {name: section} may stand instead of one section; None
            where it may not.
    """

    name: str
    kind: Any
    default: Any
    meaning: str
    registry: Registry | None = None
    minimum: float | None = None
    default_type: str | None = None
    several: tuple[Key, ...] | None = None

    def typed(self, section: Any) -> Any:
        """The section with its default `type` written out; anything else as it is."""
        fills = self.default_type is not None and isinstance(section, Mapping)
        return {"type": self.default_type, **section} if fills else section

    def describe(self) -> tuple[str, str, str, str]:
        """(key, type, default, meaning) as texts."""
        default = "required" if self.default is REQUIRED else repr(self.default)
        meaning = (
            f"{self.meaning}; type {self.default_type} by default" if self.default_type else self.meaning
        )
        return self.name, describe(self.kind), default, meaning


Section = dict | None
Count = int | None
Flips = list[Literal["H", "V", "HV"]]
ClassLayer = Literal["load", "leave_out", "by_name"]
MergeIou = float | dict[str, float] | None
Precision = Literal["float32", "bfloat16", "float16"]

MATCH_KEYS: tuple[Key, ...] = (
    Key("match", str | list, REQUIRED, "which parameters are its own: shell patterns over their names"),
    Key("but_not", str | list | None, None, "patterns of those among them that are not"),
)

TOP_LEVEL: tuple[Key, ...] = (
    Key("model", dict, REQUIRED, "the detector to train or run", reg.DETECTORS),
    Key("dataset", Section, {}, "train, val and test dataset, each optional"),
    Key(
        "optimizer",
        Section,
        None,
        "how gradients move the weights; needed for training; several as {name: dict(type, match, ...)}",
        reg.OPTIMIZERS,
        several=MATCH_KEYS,
    ),
    Key(
        "scheduler",
        Section,
        None,
        "learning rate over time; None keeps the optimizer's; several as {name of the optimizer: dict}",
        reg.SCHEDULERS,
        several=(),
    ),
    Key("logger", Section, None, "where losses and metrics go; None is RunLogger's default", reg.HOOKS),
    Key("max_epoch", Count, None, "length of training in epochs; set either this or max_iter", minimum=1),
    Key("max_iter", Count, None, "length of training in steps", minimum=1),
    Key("schedule_factor", float, 1.0, "multiplies lengths: epochs, steps, milestones, starts and stops"),
    Key("eval_interval", Count, 1, "epochs between evaluations; None or 0: only at the end", minimum=0),
    Key("best_metric", str | None, None, "the number that decides on best.pkl; None is the evaluator's own"),
    Key("checkpoint_interval", Count, 1, "epochs between checkpoints; None or 0: only at the end", minimum=0),
    Key("checkpoint_iters", Count, None, "steps between further checkpoints within an epoch", minimum=1),
    Key("keep_checkpoints", Count, None, "how many epochs' checkpoints stay; None keeps all", minimum=1),
    Key("log_interval", Count, 50, "steps between log lines; None or 0 is never", minimum=0),
    Key("work_dir", str, "work_dirs/{name}", "folder of everything a run writes"),
    Key("name", str, "the file's stem", "name of the run, used in work_dir and result files"),
    Key("pretrained_weights", str | None, None, "weights of the whole model to start from"),
    Key("pretrained_classes", ClassLayer, "load", "of their class layer: all, nothing, or the known names"),
    Key("resume_path", str | None, None, "training state to continue from; None starts afresh"),
    Key("flip_test", Flips | None, None, "flips whose detections are merged in when testing"),
    Key("scale_test", list[float] | None, None, "factors of other image sizes to look at when testing, too"),
    Key(
        "merge_iou_threshold",
        MergeIou,
        None,
        "IoU above which joined patches and views suppress; None is 0.1, of upright boxes 0.5",
        minimum=0,
    ),
    Key("distill", Section, None, "teacher and terms; None is the plain student"),
    Key("seed", int, 0, "start of every random number; equal seeds give equal runs", minimum=0),
    Key("imports", list[str] | None, None, "modules or files imported first, to register their parts"),
    Key("ema", Section, None, "averaged weights; None is off", reg.HOOKS, default_type="EMAHook"),
    Key("accumulate_steps", int, 1, "batches whose gradients are added before a step", minimum=1),
    Key("auto_scale_lr", Section, None, "lr follows the images per step; None is off"),
    Key("hooks", list | None, None, "further hooks of the run, a list of dict(type=...)", reg.HOOKS),
    Key("published", Section, None, "the published table row this config claims, such as dict(row=...)"),
    Key("precision", Precision, "float32", "of convolutions in training; the half types need a GPU to pay"),
)

DATASET_KEYS: tuple[Key, ...] = (
    Key("train", Section, None, "what is learned from", reg.DATASETS),
    Key("val", Section, None, "what is evaluated during and after training", reg.DATASETS),
    Key("test", Section, None, "what results are written for", reg.DATASETS),
)

LOADER_KEYS: tuple[Key, ...] = (
    Key("batch_size", int, 1, "images in a batch, over all processes together", minimum=1),
    Key("num_workers", int, 0, "processes that read images; 0 reads in the main process", minimum=0),
    Key("shuffle", bool, False, "another order in every epoch"),
    Key("drop_last", bool, False, "leave out an incomplete last batch"),
    Key("group_by_aspect_ratio", bool, False, "batches all upright or all wide, which saves padding"),
    Key("evaluator", str | dict | None, None, "the metrics; None is the dataset's own", reg.EVALUATORS),
)

DISTILL_KEYS: tuple[Key, ...] = (
    Key(
        "teacher",
        dict | str | None,
        None,
        "dict(config, checkpoint), or the file or run that has both",
        reg.TEACHERS,
        default_type="FrozenTeacher",
    ),
    Key("teachers", Section, None, "several teachers, {name: dict(config, checkpoint)}"),
    Key("terms", list | None, None, "the losses that compare the two; None: chosen for them", reg.TERMS),
    Key("regions", Section, None, "regions redefined for this run, {name: dict(type=...)}", reg.REGIONS),
    Key("init_from_teacher", list[str] | None, None, "modules whose weights are the teacher's at the start"),
)

LESSON_KEYS: tuple[Key, ...] = (
    Key("teacher", str | None, None, "which of several teachers; None is `distill.teacher`"),
    Key(
        "schedule",
        Section,
        None,
        "when the term acts; None is always",
        reg.TERM_SCHEDULES,
        default_type="TermSchedule",
    ),
)

AUTO_SCALE_KEYS: tuple[Key, ...] = (
    Key("base_batch_size", int, 16, "images per step that the configured lr is meant for", minimum=1),
)


def named_sections(name: str, section: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """{key path: section} of a key that holds one section, or several by name."""
    if "type" in section or not section or not all(isinstance(each, Mapping) for each in section.values()):
        return {name: section}
    return {f"{name}.{own}": each for own, each in section.items()}


def fill_defaults(config: Mapping[str, Any]) -> Config:
    """A copy of a valid config in which every key of the schema is there.

    Below this point no default is written a second time: readers use `config.seed`, not `config.get(...)`.
    """
    filled = Config(config, file=config_file(config))
    filled.setdefault("name", "run")
    filled.setdefault("work_dir", f"work_dirs/{filled['name']}")
    _fill(filled, TOP_LEVEL)
    filled["dataset"] = filled["dataset"] or {}
    for name, keys in (
        ("dataset", DATASET_KEYS),
        ("distill", DISTILL_KEYS),
        ("auto_scale_lr", AUTO_SCALE_KEYS),
    ):
        if filled[name] is not None:
            _fill(filled[name], keys)
    return filled


def _fill(section: Config, keys: Iterable[Key]) -> None:
    for key in keys:
        if key.default is not REQUIRED:
            section[key.name] = key.typed(section.get(key.name, copy.deepcopy(key.default)))


def describe_schema() -> str:
    """The schema as Markdown tables, for the documentation.

    Sections whose `type` may be left out follow, with the arguments of the class they then mean; it must be
    registered before.
    """
    tables = (
        ("Top level", TOP_LEVEL),
        ("`dataset`", DATASET_KEYS),
        ("In each dataset, beside its constructor's arguments", LOADER_KEYS),
        ("In each of several optimizers, beside its constructor's arguments", MATCH_KEYS),
        ("`distill`", DISTILL_KEYS),
        ("In each of `distill.terms`, beside its constructor's arguments", LESSON_KEYS),
        ("`auto_scale_lr`", AUTO_SCALE_KEYS),
    )
    made = [
        (f"`{key.name}` of type {key.default_type}", constructor_keys(find(key.default_type)))
        for _, keys in tables
        for key in keys
        if key.default_type is not None
    ]
    return "\n\n".join(f"### {title}\n\n{_table(keys)}" for title, keys in (*tables, *made)) + "\n"


def constructor_keys(cls: type) -> list[Key]:
    """The arguments of a constructor as keys of its section."""
    meanings = argument_meanings(cls)
    return [
        Key(
            name,
            parameter.annotation,
            REQUIRED if parameter.default is inspect.Parameter.empty else parameter.default,
            meanings.get(name, ""),
        )
        for name, parameter in constructor_parameters(cls).items()
    ]


def _table(keys: Iterable[Key]) -> str:
    rows = [("key", "type", "default", "meaning"), ("---",) * 4]
    rows += [
        (f"`{name}`", kind, f"`{default}`", meaning)
        for name, kind, default, meaning in map(Key.describe, keys)
    ]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
