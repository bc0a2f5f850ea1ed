"""Finds everything that is wrong with a config before an object is built or a kernel compiled.

The schema of a section with `type` is the constructor it names. All problems are collected; each names the
config file, the key path, and the nearest thing that would be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jld.config.config import config_file, join, walk
from jld.config.dump import PLAIN_TYPES
from jld.config.jdet.keys import UNSERVED
from jld.config.schema import (
    AUTO_SCALE_KEYS,
    DATASET_KEYS,
    DISTILL_KEYS,
    LESSON_KEYS,
    LOADER_KEYS,
    REQUIRED,
    TOP_LEVEL,
    Key,
    named_sections,
)
from jld.config.sections import SectionChecker, is_section
from jld.errors import ConfigError, nearest, suggestion
from jld.registry import DATASETS, REGIONS, TEACHERS, TERMS

# Checked by methods of their own, or not meant to be built.
_OWN_RULES = ("dataset", "distill", "auto_scale_lr", "published")
_TEACHER = next(key for key in DISTILL_KEYS if key.name == "teacher")
_LOADER = {key.name: key for key in LOADER_KEYS}
_LESSON = {key.name: key for key in LESSON_KEYS}


def check_config(config: Mapping[str, Any]) -> None:
    """Passes silently over a config that can be run.

    Raises:
        ConfigError: lists all problems that `validate_config` finds.
    """
    problems = validate_config(config)
    if problems:
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"this config cannot be run, it has {count}:\n  " + "\n  ".join(problems))


def validate_config(config: Mapping[str, Any]) -> list[str]:
    """All problems of a config, one sentence each; empty when it can be run.

    The parts a config names must be registered before: import jld's packages and the config's `imports`.
    """
    checker = _Checker(config)
    checker.check_plain()
    checker.check_top_level()
    checker.check_training()
    checker.check_datasets()
    checker.check_distill()
    return checker.problems


class _Checker(SectionChecker):
    """Walks one config and collects problems."""

    def __init__(self, config: Mapping[str, Any]):
        distill = config.get("distill")
        regions = distill.get("regions") if isinstance(distill, Mapping) else None
        super().__init__(config_file(config), list(regions) if isinstance(regions, Mapping) else [])
        self.config = config

    def check_plain(self) -> None:
        for path, value in walk(self.config):
            if not isinstance(value, PLAIN_TYPES):
                self.report(
                    path, f"a {type(value).__name__} is not plain data; name a registered `type` instead."
                )

    def check_top_level(self) -> None:
        self.check_keys(self.config, TOP_LEVEL, "")
        for key in TOP_LEVEL:
            section = key.typed(self.config.get(key.name))
            if key.several is not None and isinstance(section, Mapping):
                own = {each.name: each for each in key.several}
                for path, part in named_sections(key.name, section).items():
                    self.check_section(part, path, key.registry, {} if path == key.name else own)
                    if path != key.name and "match" in own and "match" not in part:
                        self.report(f"{path}.match", "this key is required, as there are several.")
            elif key.name not in _OWN_RULES and (key.registry is not None or is_section(section)):
                self.check_inside(section, key.name, Any, key.registry)
        if isinstance(self.config.get("auto_scale_lr"), Mapping):
            self.check_keys(self.config["auto_scale_lr"], AUTO_SCALE_KEYS, "auto_scale_lr")

    def check_keys(self, section: Mapping, keys: Iterable[Key], path: str) -> None:
        known = {key.name: key for key in keys}
        for name, value in section.items():
            if name in known:
                self.check_value(value, known[name], join(path, name))
            elif not path and name in UNSERVED:
                self.report(name, f"{value!r} is not served here: {UNSERVED[name][1]}")
            elif nearest(name, known) or path:
                self.report(join(path, name), f"unknown key: {suggestion(name, known)}")
            else:
                self.report(name, "unknown key: start the name of a helper variable with an underscore.")
        for key in known.values():
            if key.default is REQUIRED and key.name not in section:
                self.report(join(path, key.name), "this key is required.")

    def check_training(self) -> None:
        both = [key for key in ("max_epoch", "max_iter") if self.config.get(key) is not None]
        dataset = self.config.get("dataset")
        trains = isinstance(dataset, Mapping) and dataset.get("train") is not None
        if len(both) == 2:
            self.report("max_iter", "max_epoch and max_iter are both set: set one of them to None.")
        if trains and not both:
            self.report("max_epoch", "dataset.train is given, so either max_epoch or max_iter must be set.")
        if trains and self.config.get("optimizer") is None:
            self.report("optimizer", "dataset.train is given, so an optimizer is needed.")

    def check_datasets(self) -> None:
        dataset = self.config.get("dataset")
        if isinstance(dataset, Mapping):
            self.check_keys(dataset, DATASET_KEYS, "dataset")
            for key in DATASET_KEYS:
                self.check_section(dataset.get(key.name), f"dataset.{key.name}", DATASETS, _LOADER)

    def check_distill(self) -> None:
        distill = self.config.get("distill")
        if not isinstance(distill, Mapping):
            return
        self.check_keys(distill, DISTILL_KEYS, "distill")
        teachers = self.check_teachers(distill)
        if not teachers and distill.get("terms"):
            self.report("distill.teacher", "terms need a teacher: add dict(config=..., checkpoint=...).")
        if isinstance(distill.get("terms"), list | tuple):
            for index, term in enumerate(distill["terms"]):
                path = f"distill.terms.{index}"
                self.check_section(term, path, TERMS, _LESSON)
                if isinstance(term, Mapping):
                    self.check_lesson(term, path, teachers)
        for name in self.own_regions:
            self.check_section(distill["regions"][name], f"distill.regions.{name}", REGIONS)
        frozen = (
            teachers == ["teacher"] and _TEACHER.typed(distill["teacher"])["type"] == _TEACHER.default_type
        )
        if distill.get("terms") is not None or not frozen:
            self.check_purpose(distill.get("terms"))

    def check_purpose(self, terms: Any) -> None:
        """A section that would distil nothing is a mistake, never a plain run under another name."""
        cure = "set distill=None to train the plain student."
        if not terms:
            self.report(
                "distill.terms", f"there are no terms, so nothing would be distilled: add some, or {cure}"
            )
        elif isinstance(terms, list | tuple) and all(
            isinstance(term, Mapping) and term.get("weight") == 0 for term in terms
        ):
            self.report("distill.terms", f"all weights are 0, so nothing would be distilled: {cure}")

    def check_teachers(self, distill: Mapping) -> list[str]:
        """Looks at `distill.teacher` and `distill.teachers`; returns their names."""
        several = distill.get("teachers")
        found = {"teacher": distill.get("teacher")}
        if isinstance(several, Mapping):
            found |= {f"teachers.{name}": section for name, section in several.items()}
        for path, section in found.items():
            if isinstance(section, Mapping):
                self.check_section(_TEACHER.typed(section), f"distill.{path}", TEACHERS)
            elif path != "teacher":
                self.report(f"distill.{path}", f"must be dict(config=..., checkpoint=...), got {section!r}.")
        return [path.removeprefix("teachers.") for path, section in found.items() if section is not None]

    def check_lesson(self, term: Mapping, path: str, teachers: list[str]) -> None:
        """Which teacher a term learns from, and when."""
        teacher = term.get("teacher")
        if isinstance(teacher, str) and teacher not in teachers:
            self.report(f"{path}.teacher", f"unknown teacher {teacher!r}: {suggestion(teacher, teachers)}")
        schedule, end = term.get("schedule"), self.config.get("max_iter")
        start = schedule.get("start") if isinstance(schedule, Mapping) else None
        if isinstance(start, int) and isinstance(end, int) and start >= end:
            said = (
                f"the term would never act: it starts in step {start}, and max_iter={end} ends the training."
            )
            self.report(f"{path}.schedule.start", said)
