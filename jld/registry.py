"""Names of the parts a config can ask for, and how a config becomes objects.

A registry maps a `type` name to a class. The constructor's signature is the schema of the config section:
`build` creates nested sections first and passes them as objects, so classes never see a config.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from jld.errors import ConfigError, one_of, suggestion

T = TypeVar("T")


class Registry:
    """Names of one kind of part (backbones, losses, ...).

    Args:
        kind: what its members are, for messages.
        supplied: constructor arguments that the builder hands over because no config can hold them.
        is_plain: members hold numbers and words only, so that making one is the way to check its section.
    """

    instances: list[Registry] = []

    def __init__(self, kind: str, supplied: tuple[str, ...] = (), *, is_plain: bool = False):
        self.kind = kind
        self.supplied = supplied
        self.is_plain = is_plain
        self._interfaces: list[type] = []
        self._classes: dict[str, type] = {}
        self._primary: dict[type, str] = {}
        Registry.instances.append(self)

    @overload
    def register(
        self, cls: type[T], *, name: str | None = None, aliases: tuple[str, ...] = ()
    ) -> type[T]: ...

    @overload
    def register(
        self, *, name: str | None = None, aliases: tuple[str, ...] = ()
    ) -> Callable[[type[T]], type[T]]: ...

    def register(
        self, cls: type[T] | None = None, *, name: str | None = None, aliases: tuple[str, ...] = ()
    ) -> type[T] | Callable[[type[T]], type[T]]:
        """Class decorator, bare or with a name and aliases.

        Raises:
            ConfigError: the name is taken by another class in any registry.
        """
        if cls is None:
            return lambda decorated: self.register(decorated, name=name, aliases=aliases)
        for key in (name or cls.__name__, *aliases):
            owner = lookup(key)
            if owner is not None and _identity(owner[1]) != _identity(cls):
                raise ConfigError(f"the name {key!r} is already registered for {owner[1]} ({owner[0].kind}).")
            self._classes[key] = cls
        self._primary[cls] = name or cls.__name__
        return cls

    def interface(self, cls: type[T]) -> type[T]:
        """Class decorator of the protocol that the members follow, or of their base.

        An argument annotated with it (`Loss`, `Loss | None`, `Sequence[Loss]`) takes its section from here.
        """
        self._interfaces.append(cls)
        return cls

    def offers(self, cls: type) -> bool:
        """Whether `cls` is the interface of the members, one of them, or derived from either."""
        return any(base in self._interfaces or base in self._primary for base in cls.__mro__)

    def get(self, name: str) -> type:
        """The class called `name`.

        Raises:
            ConfigError: unknown name; says the nearest one.
        """
        one_of(name, self._classes, f"unknown {self.kind} {name!r}")
        return self._classes[name]

    def names(self) -> list[str]:
        """All names, aliases included, sorted."""
        return sorted(self._classes)

    def classes(self) -> dict[str, type]:
        """{primary name: class}, sorted by name, without aliases."""
        return {name: cls for cls, name in sorted(self._primary.items(), key=lambda item: item[1])}

    def aliases(self, name: str) -> list[str]:
        """The other names of the class called `name`, sorted."""
        return sorted(key for key, cls in self._classes.items() if cls is self.get(name) and key != name)

    def __contains__(self, name: str) -> bool:
        return name in self._classes


def _identity(cls: type) -> tuple[str, str]:
    # A project file imported twice re-registers a class that is the same to the user.
    return cls.__module__, cls.__qualname__


DETECTORS = Registry("detector")
BACKBONES = Registry("backbone")
NECKS = Registry("neck")
HEADS = Registry("head")
LOSSES = Registry("loss")
ASSIGNERS = Registry("assigner")
OVERLAPS = Registry("overlap of assigners")
SAMPLERS = Registry("sampler")
CODERS = Registry("box coder")
PRIORS = Registry("prior generator")
DATASETS = Registry("dataset")
TRANSFORMS = Registry("transform")
EVALUATORS = Registry("evaluator")
OPTIMIZERS = Registry("optimizer", supplied=("params",))
SCHEDULERS = Registry("scheduler")
TEACHERS = Registry("teacher")
REGIONS = Registry("region")
TERMS = Registry("distillation term")
TERM_SCHEDULES = Registry("schedule of a term", is_plain=True)
HOOKS = Registry("hook")
LOGGERS = Registry("logger", is_plain=True)
SUPPRESSORS = Registry("non-maximum suppression")
DEFORMATIONS = Registry("deformable convolution", is_plain=True)


def lookup(name: str) -> tuple[Registry, type] | None:
    """(registry, class) of a name over all registries, or None."""
    for registry in Registry.instances:
        if name in registry:
            return registry, registry.get(name)
    return None


def find(name: str) -> type:
    """The class called `name` in any registry.

    Raises:
        ConfigError: unknown name; says the nearest one.
    """
    found = lookup(name)
    if found is None:
        known = [key for registry in Registry.instances for key in registry.names()]
        raise ConfigError(f"unknown type {name!r}: {suggestion(name, known)}")
    return found[1]


def build(cfg: Any, *, path: str = "", **extra: Any) -> Any:
    """Makes objects of a config section, nested sections first.

    Args:
        cfg: a mapping with `type`, a list of them, or anything else, which is returned as it is (with typed
            sections inside it built).
        path: key path of the section, for error messages.
        extra: further keyword arguments for the outermost class (objects that no config can hold).
    A class takes the arguments that its attribute `unbuilt` names as they are: configs of their own.
    Raises:
        ConfigError: unknown type, or keywords that its constructor does not take.
    """
    if isinstance(cfg, Mapping):
        cls = find(cfg["type"]) if "type" in cfg else None
        unbuilt = getattr(cls, "unbuilt", ())
        values = {
            key: value if key in unbuilt else build(value, path=f"{path}.{key}".strip("."))
            for key, value in cfg.items()
            if key != "type"
        }
        return values if cls is None else _construct(cls, cfg["type"], {**values, **extra}, path)
    if isinstance(cfg, list | tuple):
        return type(cfg)(build(item, path=f"{path}.{index}") for index, item in enumerate(cfg))
    return cfg


def _construct(cls: Callable, name: str, values: dict[str, Any], path: str) -> Any:
    known = inspect.signature(cls).parameters
    for key in values:
        if key not in known:
            where = f" at {path}" if path else ""
            raise ConfigError(f"{name}{where} takes no argument {key!r}: {suggestion(key, known)}")
    missing = [
        key
        for key, parameter in known.items()
        if parameter.default is parameter.empty
        and key not in values
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if missing:
        where = f" at {path}" if path else ""
        raise ConfigError(f"{name}{where} needs {', '.join(missing)}.")
    return cls(**values)
