"""How instances lie to each other in a feature space: distances of pairs, angles of triples.

Source: arXiv:1904.05068, equations 5 and 6.
"""

from __future__ import annotations

from jld.losses.regression import squared_error
from jld.toolchain import jittor as jt


def relative_distances(rows: jt.Var, pairs: jt.Var) -> jt.Var:
    """[K, K] Euclidean distances of rows [K, F], divided by the mean of the positive ones among `pairs`.

    Args:
        pairs: [K, K] 1 for the pairs that count.
    """
    distances = jt.sqrt(squared_error(rows.unsqueeze(0), rows.unsqueeze(1)).sum(2).maximum(1e-12))
    positive = pairs * (distances > 2e-6).float32()  # beyond the floor of the root
    mean = (distances * positive).sum() / positive.sum().maximum(1.0)
    return distances / mean.maximum(1e-6)


def angles(rows: jt.Var) -> jt.Var:
    """[K, K, K] entry i, j, k: cosine of the angle at row i between the rows j and k, of rows [K, F]."""
    apart = rows.unsqueeze(0) - rows.unsqueeze(1)  # [K, K, F]
    lengths = jt.sqrt((apart * apart).sum(2, keepdims=True).maximum(1e-24))
    directions = apart / lengths
    return jt.matmul(directions, directions.transpose(0, 2, 1))
