"""What layers and functions write into a graph, and the patches that make them do so.

Everything else of a detector, from `execute` of its parts to the decoding of boxes, runs as it is.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

import jld.models.boxes
import jld.models.necks.fpn
import jld.ops.deform_conv
from jld.boxes.places import GridPlaces
from jld.boxes.priors import AnchorGenerator
from jld.errors import ConfigError
from jld.export.graph import Graph, Symbol, elementwise, has_symbols, traced
from jld.export.transformers import SWIN_EMITTERS
from jld.models.heads.mask_head import Doubled
from jld.models.layers import BatchNorm, GroupNorm, Scale
from jld.ops.conv2d import Conv2d
from jld.toolchain import jittor as jt


def _convolution(graph: Graph, layer: Any, x: Symbol, live: None = None, *, relu: bool = False) -> str:
    inputs = [x, layer.weight] + [layer.bias] * (layer.bias is not None)
    name = graph.op(
        "Conv",
        *inputs,
        kernel_shape=list(layer.weight.shape[2:]),
        strides=list(layer.stride),
        pads=[*layer.padding, *layer.padding],
        dilations=list(layer.dilation),
        group=layer.groups,
    )
    return _relu(graph, name, relu)


def _doubled(graph: Graph, layer: Doubled, x: Symbol, live: None = None) -> str:
    inputs, outputs = layer.weight.shape[:2]
    filters = layer.weight.numpy().transpose(2, 3, 1, 0).reshape(4 * outputs, inputs, 1, 1)
    squares = graph.op("Conv", x, filters, np.tile(layer.bias.numpy(), 4), kernel_shape=[1, 1])
    return graph.op("Reshape", graph.op("Relu", squares), graph.shape((-1, outputs, *x.shape[2:])))


def _linear(graph: Graph, layer: Any, x: Symbol) -> str:
    if x.ndim == 2 and layer.bias is not None:
        return graph.op("Gemm", x, layer.weight, layer.bias, transB=1)
    name = graph.op("MatMul", x, graph.op("Transpose", layer.weight, perm=[1, 0]))
    return name if layer.bias is None else graph.op("Add", name, layer.bias)


def _relu(graph: Graph, name: str, relu: bool) -> str:
    return graph.op("Relu", name) if relu else name


def _batch_norm(
    graph: Graph, layer: BatchNorm, x: Symbol, *, shortcut: Symbol | None = None, relu: bool = False
) -> str:
    values = layer.weight, layer.bias, layer.running_mean, layer.running_var
    name = graph.op("BatchNormalization", x, *values, epsilon=layer.eps)
    return _relu(graph, name if shortcut is None else graph.op("Add", name, shortcut), relu)


def _group_norm(graph: Graph, layer: GroupNorm, x: Symbol, *, relu: bool = False) -> str:
    # GroupNormalization has two meanings in different opsets; this is the form other exporters write as well.
    groups = graph.op("Reshape", x, [0, layer.num_groups, -1])
    ones, zeros = np.ones(layer.num_groups, np.float32), np.zeros(layer.num_groups, np.float32)
    normal = graph.op("InstanceNormalization", groups, ones, zeros, epsilon=layer.eps)
    normal = graph.op("Reshape", normal, graph.op("Shape", x))
    weight, bias = (graph.op("Unsqueeze", value, [1, 2]) for value in (layer.weight, layer.bias))
    return _relu(graph, graph.op("Add", graph.op("Mul", normal, weight), bias), relu)


def _pool(graph: Graph, layer: Any, x: Symbol) -> str:
    is_mean = layer.op == "mean"
    counted = {"count_include_pad": int(layer.count_include_pad)} if is_mean else {}
    return graph.op(
        "AveragePool" if is_mean else "MaxPool",
        x,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        pads=[*layer.padding, *layer.padding],
        ceil_mode=int(layer.ceil_mode),
        **counted,
    )


def _upsample_like(graph: Graph, x: Symbol, finer: Symbol) -> str:
    scales = np.array([1, 1, 2, 2], np.float32)
    doubled = graph.op(
        "Resize",
        x,
        "",
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    wanted = finer.shape[2:]
    if not graph.any_size and all(2 * a == b for a, b in zip(x.shape[2:], wanted, strict=True)):
        return doubled
    return graph.op("Slice", doubled, [0, 0], graph.shape(wanted), [2, 3])


def _expected_values(graph: Graph, box_logits: Symbol, supports: np.ndarray) -> str:
    probs = graph.op("Softmax", box_logits, axis=-1)
    return graph.op("ReduceSum", graph.op("Mul", probs, supports), [-1], keepdims=0)


def _stacked(graph: Graph, values: Sequence[Any], dim: int = 0) -> str:
    return graph.op("Concat", *(graph.op("Unsqueeze", value, [dim]) for value in values), axis=dim)


def _topk(graph: Graph, x: Symbol, k: int, dim: int) -> tuple[str, str]:
    return graph.op("TopK", x, [k], axis=dim, outputs=2)


def _deformable(
    graph: Graph, x: Symbol, offset: Symbol, weight: jt.Var, mask: Symbol | None = None, **geometry: Any
) -> str:
    return graph.op(
        "DeformConv",
        *(x, weight, offset, ""),
        *([] if mask is None else [mask]),
        kernel_shape=list(weight.shape[2:]),
        strides=list(geometry["stride"]),
        pads=[*geometry["padding"], *geometry["padding"]],
        dilations=list(geometry["dilation"]),
        group=geometry["groups"],
        offset_group=geometry["deform_groups"],
    )


EMITTERS: tuple[tuple[Any, str, Callable], ...] = (
    (Conv2d, "execute", _convolution),
    (Doubled, "execute", _doubled),
    (jld.ops.deform_conv, "deform_conv2d", _deformable),
    (BatchNorm, "execute", _batch_norm),
    (GroupNorm, "execute", _group_norm),
    (Scale, "execute", lambda graph, layer, x: graph.op("Mul", x, layer.scale)),
    (jt.nn.Linear, "execute", _linear),
    (jt.nn.Pool, "execute", _pool),
    (jt.nn.ReLU, "execute", lambda graph, layer, x: graph.op("Relu", x)),
    (jt.nn, "relu", elementwise("Relu")),
    (jt.nn, "softmax", lambda graph, x, dim: graph.op("Softmax", x, axis=dim)),
    (jld.models.necks.fpn, "upsample_like", _upsample_like),
    (jld.models.boxes, "expected_values", _expected_values),
    *SWIN_EMITTERS,
    (jt, "concat", lambda graph, values, dim=0: graph.op("Concat", *values, axis=dim)),
    (jt, "stack", _stacked),
    (jt, "topk", _topk),
    (jt, "zeros_like", lambda graph, x: graph.op("Mul", x, 0.0)),
    *(
        (jt, name, elementwise(kind))
        for name, kind in {
            "sigmoid": "Sigmoid",
            "exp": "Exp",
            "sqrt": "Sqrt",
            "floor": "Floor",
            "sin": "Sin",
            "cos": "Cos",
            "maximum": "Max",
            "minimum": "Min",
            "where": "Where",
        }.items()
    ),
)


def _places(graph: Graph, generator: AnchorGenerator, known: GridPlaces, sizes: Sequence[Any]) -> GridPlaces:
    """The places known for maps of these sizes, with symbols for boxes, centres and strides."""
    if graph.any_size:
        if generator.grid != "strides":
            raise ConfigError(
                f"anchors of grid={generator.grid!r} depend on the size of the image: export for one size."
            )
        levels = [_level(graph, generator, *pair) for pair in zip(generator.strides, sizes, strict=True)]
        joined = (graph.op("Concat", *parts, axis=0) for parts in zip(*levels, strict=True))
        names = [graph.op("Unsqueeze", name, [0]) for name in joined]
    else:
        names = [graph.constant(value) for value in (known.boxes, known.centers, known.strides)]
    keys = ("boxes", "centers", "strides")
    symbols: dict[str, Any] = {
        key: Symbol(graph, name, getattr(known, key)) for key, name in zip(keys, names, strict=True)
    }
    return dataclasses.replace(known, **symbols)


def _level(
    graph: Graph, generator: AnchorGenerator, stride: int, size: Sequence[Any]
) -> tuple[str, str, str]:
    """Boxes [p, 4 or 5], centres [p, 2] and strides [p] of one level of any size."""
    cell = generator.level_boxes(stride, (1, 1))  # [A, 4 or 5]
    anchors, width = cell.shape
    one = np.eye(2, width, dtype=np.float32) if width > 4 else np.tile(np.eye(2, dtype=np.float32), 2)
    shifts = []
    for axis, direction in ((0, one[1]), (1, one[0])):  # rows move y, columns move x
        side = graph.op("Squeeze", graph.op("Cast", graph.side(size[axis]), to=1), [0])
        cells = graph.op("Mul", graph.op("Range", 0.0, side, 1.0), float(stride))
        cells = graph.op("Unsqueeze", cells, [1 - axis, 2, 3])  # [H, 1, 1, 1] or [1, W, 1, 1]
        shifts.append(graph.op("Mul", cells, direction))
    boxes = graph.op("Reshape", graph.op("Add", graph.op("Add", *shifts), cell), [-1, width])
    symbol = Symbol(graph, boxes, jt.zeros((int(size[0]) * int(size[1]) * anchors, width)))
    count = graph.op("Shape", boxes, start=0, end=1)
    centers: Any = generator.centers(symbol)
    return boxes, graph.name_of(centers), graph.op("Expand", float(stride), count)


@contextmanager
def writing(graph: Graph) -> Iterator[None]:
    """While this holds, detectors called with symbols write their graph; with Vars they work as ever."""

    def replaced(function: Callable, emit: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not has_symbols([args, kwargs]):
                return function(*args, **kwargs)
            return traced(function, emit, *args, **kwargs)

        return call

    original = AnchorGenerator.priors

    def priors(generator: AnchorGenerator, sizes: Sequence[Any]) -> GridPlaces:
        return _places(graph, generator, original(generator, sizes), sizes)

    with ExitStack() as stack, jt.no_grad():
        for owner, name, emit in EMITTERS:
            stack.enter_context(mock.patch.object(owner, name, replaced(getattr(owner, name), emit)))
        stack.enter_context(mock.patch.object(Conv2d, "levels", Conv2d.one_by_one))
        stack.enter_context(mock.patch.object(AnchorGenerator, "priors", priors))
        yield
