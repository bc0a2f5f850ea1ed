"""Checks sections of a config against the constructors that their `type` names."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jld.config.annotations import admits_dict, describe, fits, registry_of
from jld.config.config import join
from jld.config.constructors import constructor_parameters
from jld.config.schema import Key
from jld.errors import ConfigError, nearest, suggestion
from jld.registry import EVALUATORS, LOGGERS, REGIONS, TERMS, Registry, lookup


class SectionChecker:
    """Collects problems of sections.

    Args:
        file: the config's file, which every problem names, or None.
        own_regions: names of regions that the config defines itself.
    """

    def __init__(self, file: Path | None, own_regions: list[str]):
        self.file, self.own_regions = file, own_regions
        self.problems: list[str] = []

    def report(self, path: str, text: str) -> None:
        where = f"{self.file}: " if self.file else ""
        self.problems.append(f"{where}{path}: {text}")

    def check_value(self, value: Any, key: Key, path: str) -> None:
        if not fits(value, key.kind):
            self.report(path, f"must be {describe(key.kind)}, got {value!r}.{_did_you_mean(value, key.kind)}")
        elif key.minimum is not None and isinstance(value, int | float) and value < key.minimum:
            self.report(path, f"must be at least {key.minimum}, got {value!r}.")

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
            kind, names = ("part", ()) if registry is None else (registry.kind, registry.names())
            self.report(path, f"needs a `type` that names {_a(kind)}: {suggestion('', names)}")
            self.check_children(section, path, {})
            return
        found = self.find_class(section["type"], path, registry)
        if found is None:
            self.check_children(section, path, {})
        else:
            self.check_arguments(section, path, *found, admitted or {})

    def find_class(self, name: Any, path: str, registry: Registry | None) -> tuple[Registry, type] | None:
        if not isinstance(name, str):
            self.report(f"{path}.type", f"must be a registered name, got {name!r}.")
            return None
        found = lookup(name)
        if found is not None and registry in (None, found[0]):
            return found
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
        self, section: Mapping, path: str, registry: Registry, cls: type, admitted: Mapping[str, Key]
    ) -> None:
        name, problems = section["type"], len(self.problems)
        parameters = constructor_parameters(cls)
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        known = [
            key for key, each in parameters.items() if key not in registry.supplied and not _is_variadic(each)
        ]
        for key in section:
            if key != "type" and key not in known and key not in admitted and not takes_any:
                cure = suggestion(key, [*known, *admitted])
                if nearest(key, [*known, *admitted]) is None:
                    cure += " If the key comes from a base, write _cover_=True beside `type`."
                self.report(f"{path}.{key}", f"{name} takes no argument {key!r}: {cure}")
        for key in known:
            if parameters[key].default is inspect.Parameter.empty and key not in section:
                self.report(f"{path}.{key}", f"{name} needs this argument.")
        # What a class does not want built is a config of its own, checked by whoever reads it.
        inside = {key: value for key, value in section.items() if key not in getattr(cls, "unbuilt", ())}
        self.check_children(inside, path, {key: parameters[key] for key in known}, admitted)
        if registry.is_plain and len(self.problems) == problems:
            self.check_by_making(section, path, cls)

    def check_by_making(self, section: Mapping, path: str, cls: type) -> None:
        """What the constructor itself says of arguments that are of the right kinds."""
        try:
            cls(**{key: value for key, value in section.items() if key != "type"})
        except ConfigError as error:
            self.report(path, str(error))

    def check_children(
        self,
        section: Mapping,
        path: str,
        parameters: Mapping[str, inspect.Parameter],
        admitted: Mapping[str, Key] | None = None,
    ) -> None:
        """The values of a section: against the annotations there are, then what lies inside them."""
        for name, value in section.items():
            place, parameter = join(path, name), parameters.get(name)
            if name == "type":
                continue
            if parameter is None and admitted and name in admitted:
                key = admitted[name]
                self.check_value(value, key, place)
                self.check_inside(key.typed(value), place, Any, key.registry)
            elif parameter is None:
                self.check_inside(value, place, Any, None)
            elif value is not parameter.default:
                annotation = parameter.annotation
                if not fits(value, annotation):
                    self.report(place, f"must be {describe(annotation)}, got {_short(value)}.")
                self.check_inside(value, place, annotation, registry_of(annotation))

    def check_inside(self, value: Any, path: str, annotation: Any, registry: Registry | None) -> None:
        """What lies in a value that stands where parts of `registry` belong; of any, where that is None."""
        if isinstance(value, list | tuple):
            for index, item in enumerate(value):
                self.check_inside(item, f"{path}.{index}", annotation, registry)
        elif isinstance(value, Mapping):
            if is_section(value) or (registry is not None and not admits_dict(annotation)):
                self.check_section(value, path, registry)
            else:
                for key, item in value.items():
                    self.check_inside(item, join(path, key), annotation, registry)
        elif isinstance(value, str) and registry in (REGIONS, EVALUATORS, LOGGERS):
            # These are asked for by name alone.
            known = [*registry.names(), *(self.own_regions if registry is REGIONS else ())]
            if value not in known:
                self.report(path, f"unknown {registry.kind} {value!r}: {suggestion(value, known)}")


def is_section(value: Any) -> bool:
    """Whether a value is dict(type=..., ...)."""
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
