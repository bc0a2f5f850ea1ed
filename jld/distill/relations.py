"""How instances lie to each other in a feature space: distances of pairs, angles of triples.

Source: arXiv:1904.05068, equations 5 and 6.
"""

from __future__ import annotations

from jld.losses.regression import squared_error
from jld.toolchain import jittor as jt


def relative_distances(rows: jt.Var, pairs: jt.Var, *, coinciding: bool = False) -> jt.Var:
    """[K, K] Euclidean distances of rows [K, F], divided by their mean over `pairs`.

    Args:
        pairs: [K, K] 1 for the pairs that count.
        coinciding: pairs of equal rows are in the mean, too.
    """
    distances = jt.sqrt(squared_error(rows.unsqueeze(0), rows.unsqueeze(1)).sum(2).maximum(1e-12))
    # Beyond the floor of the root.
    counted = pairs if coinciding else pairs * (distances > 2e-6).float32()
    mean = (distances * counted).sum() / counted.sum().maximum(1.0)
    return distances / mean.maximum(1e-6)


def distinct_pairs(mask: jt.Var) -> jt.Var:
    """[K, K] 1 for the ordered pairs of two different rows that are both 1 in the mask [K]."""
    places = jt.arange(mask.shape[0])
    apart = 1.0 - (places.unsqueeze(0) == places.unsqueeze(1)).float32()
    return mask.unsqueeze(0) * mask.unsqueeze(1) * apart


def angles(rows: jt.Var) -> jt.Var:
    """[K, K, K] entry i, j, k: cosine of the angle at row i between the rows j and k, of rows [K, F]."""
    apart = rows.unsqueeze(0) - rows.unsqueeze(1)  # [K, K, F]
    lengths = jt.sqrt((apart * apart).sum(2, keepdims=True).maximum(1e-24))
    directions = apart / lengths
    return jt.matmul(directions, directions.transpose(0, 2, 1))
