"""Finds everything that is wrong with a config before an object is built or a kernel compiled.

The schema of a section with `type` is the constructor it names. All problems are collected; each names the
config file, the key path, and the nearest thing that would be right.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jld.config.annotations import admits_dict, constructor_parameters, describe, fits
from jld.config.config import config_file, join, walk
from jld.config.dump import PLAIN_TYPES
from jld.config.schema import (
    AUTO_SCALE_KEYS,
    DATASET_KEYS,
    DISTILL_KEYS,
    FOREIGN_KEYS,
    LESSON_KEYS,
    LOADER_KEYS,
    REQUIRED,
    TERM_SCHEDULE_KEYS,
    TOP_LEVEL,
    Key,
    named_sections,
    registry_at,
)
from jld.errors import ConfigError, nearest, suggestion
from jld.registry import DATASETS, EVALUATORS, REGIONS, TEACHERS, TERMS, Registry, lookup

# Checked by methods of their own, or not meant to be built.
_OWN_RULES = ("dataset", "distill", "auto_scale_lr", "published")
_TEACHER = next(key for key in DISTILL_KEYS if key.name == "teacher")
# A whole config of its own, checked when it is loaded.
_TEACHERS_CONFIG = re.compile(r"distill\.teacher(s\.[^.]+)?\.config")
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


class _Checker:
    """Walks one config and collects problems."""

    def __init__(self, config: Mapping[str, Any]):
        self.config = config
        self.file = config_file(config)
        self.problems: list[str] = []
        distill = config.get("distill")
        regions = distill.get("regions") if isinstance(distill, Mapping) else None
        self.own_regions = list(regions) if isinstance(regions, Mapping) else []

    def report(self, path: str, text: str) -> None:
        where = f"{self.file}: " if self.file else ""
        self.problems.append(f"{where}{path}: {text}")

    # The parts of the schema table.

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
            elif key.name not in _OWN_RULES and (key.registry is not None or _is_section(section)):
                self.check_section(section, key.name, key.registry)
        if isinstance(self.config.get("auto_scale_lr"), Mapping):
            self.check_keys(self.config["auto_scale_lr"], AUTO_SCALE_KEYS, "auto_scale_lr")

    def check_keys(self, section: Mapping, keys: Iterable[Key], path: str) -> None:
        known = {key.name: key for key in keys}
        for name, value in section.items():
            if name in known:
                self.check_value(value, known[name], join(path, name))
            elif not path and name in FOREIGN_KEYS:
                self.report(name, f"unknown key: {FOREIGN_KEYS[name]}")
            elif nearest(name, known) or path:
                self.report(join(path, name), f"unknown key: {suggestion(name, known)}")
            else:
                self.report(name, "unknown key: start the name of a helper variable with an underscore.")
        for key in known.values():
            if key.default is REQUIRED and key.name not in section:
                self.report(join(path, key.name), "this key is required.")

    def check_value(self, value: Any, key: Key, path: str) -> None:
        if not fits(value, key.kind):
            self.report(path, f"must be {describe(key.kind)}, got {value!r}.{_did_you_mean(value, key.kind)}")
        elif key.minimum is not None and value is not None and value < key.minimum:
            self.report(path, f"must be at least {key.minimum}, got {value!r}.")

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
        if isinstance(term.get("schedule"), Mapping):
            self.check_keys(term["schedule"], TERM_SCHEDULE_KEYS, f"{path}.schedule")

    # Sections whose schema is a constructor.

    def check_section(
        self, section: Any, path: str, registry: Registry | None, admitted: Mapping[str, Key] | None = None
    ) -> None:
        """One place that takes dict(type=..., ...); `admitted` are keys beside the constructor's."""
        if section is None:
            return
        if not isinstance(section, Mapping):
            # Elsewhere the annotation or the schema table has said what was expected.
            if registry in (TERMS, REGIONS):
                self.report(path, f"must be dict(type=..., ...), got {section!r}.")
            return
        if "type" not in section:
            # Sections that may be of any kind are only looked at when they have a type.
            known = suggestion("", registry.names())
            self.report(path, f"needs a `type` that names {_a(registry.kind)}: {known}")
            self.check_children(section, path, {})
            return
        cls = self.find_class(section["type"], path, registry)
        if cls is None:
            self.check_children(section, path, {})
        else:
            self.check_arguments(section, path, cls, admitted or {})

    def find_class(self, name: Any, path: str, registry: Registry | None) -> Callable | None:
        if not isinstance(name, str):
            self.report(f"{path}.type", f"must be a registered name, got {name!r}.")
            return None
        found = lookup(name)
        if found is not None and registry in (None, found[0]):
            return found[1]
        if registry is None:
            every = [known for each in Registry.instances for known in each.names()]
            self.report(path, f"unknown type {name!r}: {suggestion(name, every)}")
        elif found is None:
            self.report(path, f"unknown {registry.kind} {name!r}: {suggestion(name, registry.names())}")
        else:
            kinds = f"{name!r} is {_a(found[0].kind)}, but {_a(registry.kind)} belongs here"
            self.report(path, f"{kinds}: {suggestion(name, registry.names())}")
        return None

    def check_arguments(
        self, section: Mapping, path: str, cls: Callable, admitted: Mapping[str, Key]
    ) -> None:
        name = section["type"]
        parameters = constructor_parameters(cls)
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        supplied = lookup(name)[0].supplied
        known = [key for key, each in parameters.items() if key not in supplied and not _is_variadic(each)]
        for key in section:
            if key == "type" or key in known:
                continue
            if key in admitted:
                self.check_value(section[key], admitted[key], f"{path}.{key}")
            elif not takes_any:
                cure = suggestion(key, [*known, *admitted])
                if nearest(key, [*known, *admitted]) is None:
                    cure += " If the key comes from a base, write _cover_=True beside `type`."
                self.report(f"{path}.{key}", f"{name} takes no argument {key!r}: {cure}")
        for key in known:
            if parameters[key].default is inspect.Parameter.empty and key not in section:
                self.report(f"{path}.{key}", f"{name} needs this argument.")
        self.check_children(section, path, {key: parameters[key] for key in known})

    def check_children(
        self, section: Mapping, path: str, parameters: Mapping[str, inspect.Parameter]
    ) -> None:
        """The values of a section: against the annotations there are, then what lies inside them."""
        for key, value in section.items():
            if key == "type":
                continue
            parameter = parameters.get(key)
            annotation = Any if parameter is None else parameter.annotation
            place = join(path, key)
            is_default = parameter is not None and value is parameter.default
            if not is_default and not fits(value, annotation):
                self.report(place, f"must be {describe(annotation)}, got {_short(value)}.")
            if not _TEACHERS_CONFIG.fullmatch(place):
                self.check_inside(value, place, key, annotation)

    def check_inside(self, value: Any, path: str, key: str, annotation: Any) -> None:
        registry = registry_at(key)
        if isinstance(value, list | tuple):
            for index, item in enumerate(value):
                self.check_inside(item, f"{path}.{index}", key, annotation)
        elif isinstance(value, Mapping):
            if _is_section(value) or (registry is not None and not admits_dict(annotation)):
                self.check_section(value, path, registry)
            else:
                self.check_children(value, path, {})
        elif isinstance(value, str) and registry in (REGIONS, EVALUATORS):
            # These two are asked for by name alone.
            known = [*registry.names(), *(self.own_regions if registry is REGIONS else ())]
            if value not in known:
                self.report(path, f"unknown {registry.kind} {value!r}: {suggestion(value, known)}")


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping) and "type" in value


def _did_you_mean(value: Any, kind: Any) -> str:
    """The nearest of the words that a value may be, as the end of a sentence."""
    match = nearest(value, typing.get_args(kind)) if typing.get_origin(kind) is typing.Literal else None
    return "" if match is None else f" Did you mean {match!r}?"


def _is_variadic(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
