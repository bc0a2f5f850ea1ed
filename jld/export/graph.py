"""An ONNX graph under construction, and the symbols that stand for Vars in it."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jld.errors import ConfigError
from jld.toolchain import jittor as jt
from jld.utils.extras import require

SHARED_SIZE = 64


class Size(int):
    """A side of a symbol: a number, and in graphs for any size where the graph finds it.

    Attributes:
        symbol, axis: whose side it is. Numbers computed from a Size forget it, and hold for one size only.
    """

    symbol: Symbol
    axis: int

    def __floordiv__(self, other: int) -> int:
        return self if other == 1 else int(self) // other


class Graph:
    """Nodes and constants of an ONNX graph, in the order in which they were added.

    Args:
        names: {id of a Var: its name}, for parameters.
        any_size: sides are read from the input while the graph runs, instead of being constants.
    """

    def __init__(self, names: Mapping[int, str], *, any_size: bool):
        onnx = require("onnx", "export")
        self.helper, self.numpy_helper = onnx.helper, onnx.numpy_helper
        self.any_size, self._var_names = any_size, names
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self._shared: dict[tuple, str] = {}

    def op(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node; the name of its output, or a tuple of names.

        Args:
            inputs: names, symbols, or what `constant` takes.
        """
        names = tuple(f"{kind}_{len(self.nodes)}" + f"_{k}" * (outputs > 1) for k in range(outputs))
        self.nodes.append(self.helper.make_node(kind, [self.name_of(x) for x in inputs], names, **attributes))
        return names[0] if outputs == 1 else names

    def name_of(self, value: Any) -> str:
        """The name of a symbol, of a constant with this value, or the text itself."""
        if isinstance(value, str):
            return value
        return value.name if isinstance(value, Symbol) else self.constant(value)

    def constant(self, value: Any, name: str | None = None) -> str:
        """The name of a constant; numbers and floating arrays are float32, lists of integers int64."""
        if isinstance(value, jt.Var):
            name = name or self._var_names.get(id(value))
            if name in self.constants:
                return name
            value = value.numpy()
        array = np.asarray(value, np.float32 if isinstance(value, int | float) else None)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= SHARED_SIZE else None
        if name is None and key in self._shared:
            return self._shared[key]
        name = name or f"constant_{len(self.constants)}"
        self.constants[name] = array
        if key is not None:
            self._shared.setdefault(key, name)
        return name

    def side(self, size: Any) -> str:
        """[1] int64: a side, a constant where it is plain."""
        if self.any_size and isinstance(size, Size):
            return self.op("Shape", size.symbol, start=size.axis, end=size.axis + 1)
        return self.constant(np.array([size], np.int64))

    def shape(self, sizes: Any) -> str:
        """[D] int64: a shape of D sides."""
        if self.any_size and any(isinstance(size, Size) for size in sizes):
            return self.op("Concat", *(self.side(size) for size in sizes), axis=0)
        return self.constant(np.array(sizes, np.int64))


class Symbol:
    """Stands for a Var while a detector's code runs: every operation on it becomes a node.

    Args:
        name: of the value in the graph.
        var: of its shape. It is never computed.
    """

    def __init__(self, graph: Graph, name: str, var: jt.Var):
        self.graph, self.name, self.var = graph, name, var

    @property
    def shape(self) -> tuple[Size, ...]:
        """The sides, see `Size`."""
        sizes = tuple(map(Size, self.var.shape))
        for axis, size in enumerate(sizes):
            size.symbol, size.axis = self, axis
        return sizes

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.var.shape)

    def __getattr__(self, name: str) -> Callable[..., Symbol]:
        if name not in METHODS:
            raise AttributeError(f"no ONNX form of {name!r}")
        return lambda *args, **kwargs: traced(getattr(jt.Var, name), METHODS[name], self, *args, **kwargs)

    def __bool__(self) -> bool:
        raise ConfigError("the value of a symbol is not known while a detector is exported.")


def traced(function: Callable, emit: Callable, *args: Any, **kwargs: Any) -> Any:
    """What a function makes of symbols: symbols of its results' shapes, and the nodes of `emit`.

    Args:
        function: of Vars.
        emit: called with the graph and the arguments; returns a name for every result.
    """
    graph = next(_symbols([args, kwargs])).graph
    result = function(*_unwrapped(args), **_unwrapped(kwargs))
    found = emit(graph, *args, **kwargs)
    if isinstance(found, tuple):
        return tuple(Symbol(graph, name, var) for name, var in zip(found, result, strict=True))
    return Symbol(graph, found, result)


def has_symbols(values: Any) -> bool:
    """Whether one of the values, or of those in lists, tuples and dicts of them, is a symbol."""
    return next(_symbols(values), None) is not None


def _symbols(values: Any) -> Any:
    if isinstance(values, Symbol):
        yield values
    elif isinstance(values, list | tuple | dict):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _symbols(value)


def _unwrapped(values: Any) -> Any:
    if isinstance(values, Symbol):
        return values.var
    if isinstance(values, dict):
        return {key: _unwrapped(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(map(_unwrapped, values))
    return int(values) if isinstance(values, Size) else values


def elementwise(kind: str) -> Callable[..., str]:
    """What writes a node whose inputs are the arguments."""
    return lambda graph, *operands: graph.op(kind, *operands)


def reduction(kind: str) -> Callable[..., str]:
    """What writes a node that reduces one axis."""
    return lambda graph, x, dim, keepdims=False: graph.op(kind, x, [dim], keepdims=int(keepdims))


def _reshape(graph: Graph, x: Symbol, *shape: Any) -> str:
    sizes = shape if len(shape) > 1 else tuple(shape[0])
    # A side of 0, as of masks where nothing is found, is one; it does not stand for the side that was there.
    return graph.op("Reshape", x, graph.shape(sizes), allowzero=int(-1 not in sizes))


def _indexed(graph: Graph, x: Symbol, index: Any) -> str:
    """Slices, numbers and one `...`; numbers take their axis away."""
    index = index if isinstance(index, tuple) else (index,)
    if Ellipsis in index:
        place = index.index(Ellipsis)
        index = (*index[:place], *[slice(None)] * (x.ndim + 1 - len(index)), *index[place + 1 :])
    name = x.name
    for axis in reversed(range(len(index))):
        part = index[axis]
        if isinstance(part, int):
            name = graph.op("Gather", name, np.array(part, np.int64), axis=axis)
        elif part != slice(None):
            bounds = part.start or 0, sys.maxsize if part.stop is None else part.stop, part.step or 1
            start, stop, step = ([value] for value in bounds)
            name = graph.op("Slice", name, start, stop, [axis], step)
    return name if name != x.name else graph.op("Identity", name)


METHODS: dict[str, Callable[..., str]] = {
    "reshape": _reshape,
    "permute": lambda graph, x, *axes: graph.op("Transpose", x, perm=axes),
    "unsqueeze": lambda graph, x, axis: graph.op("Unsqueeze", x, [axis]),
    "sigmoid": elementwise("Sigmoid"),
    "max": reduction("ReduceMax"),
    "mean": reduction("ReduceMean"),
    "sum": reduction("ReduceSum"),
    "float32": elementwise("Identity"),
    "int32": lambda graph, x: graph.op("Cast", x, to=6),
}
OPERATORS = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "truediv": "Div",
    "lt": "Less", "gt": "Greater", "ge": "GreaterOrEqual", "and_": "And",
}  # fmt: skip


def _add_operators() -> None:
    def forward(function: Callable, emit: Callable) -> Callable:
        return lambda self, other: traced(function, emit, self, other)

    def backward(function: Callable, emit: Callable) -> Callable:
        return lambda self, other: traced(function, emit, other, self)

    for name, kind in OPERATORS.items():
        function, stem = getattr(operator, name), name.strip("_")
        setattr(Symbol, f"__{stem}__", forward(function, elementwise(kind)))
        if stem in ("add", "sub", "mul", "truediv"):
            setattr(Symbol, f"__r{stem}__", backward(function, elementwise(kind)))
    setattr(Symbol, "__getitem__", forward(operator.getitem, _indexed))  # noqa: B010 (as its kin above)


_add_operators()
