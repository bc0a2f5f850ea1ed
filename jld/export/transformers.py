"""What Swin transformers write into a graph, for images of one size: their windows are indices of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jld.export.graph import Graph, Symbol
from jld.models.backbones import swin
from jld.ops.window_attention import APART
from jld.toolchain import jittor as jt


def _normalised(graph: Graph, x: Symbol, weight: Any, bias: Any, *, eps: float = 1e-5) -> str:
    return graph.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=eps)


def _gathered(graph: Graph, x: Symbol, index: jt.Var, inverse: jt.Var) -> str:
    rows, places = x.name, index.numpy()
    count, width = x.shape[1:]
    if (places < 0).any():  # a row of zeros behind the others
        rows = graph.op("Concat", x, np.zeros((1, 1, width), np.float32), axis=1)
    return graph.op("Gather", rows, np.where(places < 0, np.int32(count), places), axis=1)


def _attention(graph: Graph, qkv: Symbol, bias: jt.Var, regions: jt.Var, num_heads: int) -> str:
    head = qkv.shape[2] // (3 * num_heads)
    parts = graph.op("Reshape", qkv, [0, 0, 3, num_heads, head])
    parts = graph.op("Transpose", parts, perm=[2, 0, 3, 1, 4])  # [3, B, heads, T, d]
    query, key, value = (
        graph.op("Squeeze", part, [0]) for part in graph.op("Split", parts, [1, 1, 1], axis=0, outputs=3)
    )
    key = graph.op("Transpose", key, perm=[0, 1, 3, 2])
    scores = graph.op("Add", graph.op("MatMul", graph.op("Mul", query, 1 / math.sqrt(head)), key), bias)
    pieces = regions.numpy()
    if (pieces != pieces[:, :1]).any():
        is_own = graph.op("Equal", graph.op("Unsqueeze", pieces, [2]), graph.op("Unsqueeze", pieces, [1]))
        apart = graph.op("Where", is_own, 0.0, float(APART))  # [W, T, T], B is W for one image
        scores = graph.op("Add", scores, graph.op("Unsqueeze", apart, [1]))
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)  # [B, heads, T, d]
    return graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), [0, 0, -1])


def _gelu(graph: Graph, x: Symbol) -> str:
    error = graph.op("Erf", graph.op("Mul", x, 1 / math.sqrt(2)))
    return graph.op("Mul", graph.op("Mul", x, 0.5), graph.op("Add", error, 1.0))


SWIN_EMITTERS: tuple[tuple[Any, str, Callable], ...] = (
    (swin, "layer_norm", _normalised),
    (swin._Gather, "apply", _gathered),
    (swin, "window_attention", _attention),
    (jt.nn, "gelu", _gelu),
)
