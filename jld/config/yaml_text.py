"""YAML as configs use it: the YAML 1.2 rules for plain values, and duplicate keys are errors.

PyYAML follows YAML 1.1, where `1e-3` is a string, `no` is False, `1:20` is 80 and a repeated key silently
wins; each of these has spoiled experiments. It also follows aliases without a limit: a kilobyte can unfold to
any number of values, or hold itself.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

# PyYAML takes some 20 s for a megabyte; the longest published configs hold some ten thousand letters.
MAX_LETTERS, MAX_VALUES, MAX_DEPTH, MAX_INTEGER_BITS = 500_000, 100_000, 60, 1024
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_NULL = re.compile(r"~|null|Null|NULL|")


class _Loader(yaml.SafeLoader):
    """SafeLoader without YAML 1.1's surprises, for documents of a config's size."""

    yaml_implicit_resolvers: dict = {}

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node, index: Any) -> yaml.Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _error(f"values are nested more than {MAX_DEPTH} levels deep", self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _count_values(node, {}, set())
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            # What PyYAML's constructors raise for `!!timestamp 2024-13-45`, `!!bool maybe` or `!!int x`.
            kind = node.tag.removeprefix("tag:yaml.org,2002:")
            shown = repr(node.value)[:40] if isinstance(node, yaml.ScalarNode) else "this"
            raise _error(f"{shown} is no value of the kind {kind}", node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        if not isinstance(node, yaml.MappingNode):
            raise _error("expected `key: value` pairs here", node.start_mark)
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # `<<` takes keys over from elsewhere and may be overruled
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # refused by the base class
            if key in seen:
                raise _error(f"duplicate key {key!r:.80}", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _error(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


def _count_values(node: yaml.Node, counted: dict[int, int], open_nodes: set[int]) -> int:
    """How many values a node unfolds to when every alias is written out.

    Raises:
        yaml.MarkedYAMLError: more than a config can need, or the node holds itself.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in counted:
        return counted[id(node)]
    if id(node) in open_nodes:
        raise _error("an alias refers to a value that holds it", node.start_mark)
    open_nodes.add(id(node))
    pairs = isinstance(node, yaml.MappingNode)
    children = [child for pair in node.value for child in pair] if pairs else node.value
    total = 1
    for child in children:
        total += _count_values(child, counted, open_nodes)
        if total > MAX_VALUES:
            raise _error(f"its aliases unfold to more than {MAX_VALUES} values", node.start_mark)
    open_nodes.discard(id(node))
    counted[id(node)] = total
    return total


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    value = int(text[2:] if base != 10 else text, base)
    if value.bit_length() > MAX_INTEGER_BITS:
        raise _error("an integer has more digits than any setting", node.start_mark)
    return value


def _whole(pattern: re.Pattern) -> re.Pattern:
    return re.compile(rf"(?:{pattern.pattern})\Z")


_PLAIN = {"bool": _BOOL, "int": _INT, "float": _FLOAT, "null": _NULL, "merge": re.compile("<<")}
for _tag, _pattern in _PLAIN.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _whole(_pattern), None)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def parse_yaml(text: str) -> Any:
    """The value of a YAML document.

    Raises:
        yaml.YAMLError: not YAML, a duplicate key, a tag that asks for more than plain data or does not fit
            its value, or more text, depth or aliases than a config can need.
    """
    if len(text) > MAX_LETTERS:
        raise yaml.YAMLError(f"it holds more than {MAX_LETTERS} letters, too much for a config")
    return yaml.load(text, Loader=_Loader)  # a SafeLoader: plain data only
