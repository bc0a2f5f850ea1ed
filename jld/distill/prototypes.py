"""Prototypes: the instances of a class whose features span it for teacher and student at once. NumPy only.

Instances in dense parts of both feature spaces are candidates; joint matching pursuit then picks, one after
the other, the candidate that explains most of what is left of all instances in both spaces. Source:
arXiv:2210.09022; hikvision-research/DAVAR-Lab-ML (`prototype_generation_module.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jld.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PrototypeRule:
    """How the prototypes of one class on one pyramid level are chosen.

    Attributes:
        count: K, prototypes at most.
        tie: alpha, how strongly the coefficients of the two spaces are held together.
        bandwidth: of the density, in units of 1 - cosine.
        sparse_share: share of the instances, by density, that are no candidates.
        exclude_chosen: a candidate is chosen once; False lets it come again, as the released code does.
    Raises:
        ConfigError: values that cannot be.
    """

    count: int = 10
    tie: float = 10.0
    bandwidth: float = 0.1
    sparse_share: float = 0.4
    exclude_chosen: bool = True

    def __post_init__(self):
        if self.count < 1 or self.tie < 0 or self.bandwidth <= 0 or not 0 <= self.sparse_share < 0.5:
            raise ConfigError(
                f"prototypes: count={self.count} must be 1 or more, tie={self.tie:g} not negative, "
                f"bandwidth={self.bandwidth:g} above 0, sparse_share={self.sparse_share:g} in [0, 0.5)."
            )

    def choose(self, student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
        """[k] rows of the prototypes, k at most `count`, in the order of their choice.

        Args:
            student: [M, D_student] features of M instances.
            teacher: [M, D_teacher] of the same instances.
        """
        if not len(student):
            return np.zeros(0, np.int64)
        spaces = unit_rows(student), unit_rows(teacher)
        rows = dense_rows([density(each, self.bandwidth) for each in spaces], self.sparse_share)
        return joint_pursuit(
            *spaces, rows, count=self.count, tie=self.tie, exclude_chosen=self.exclude_chosen
        )


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows [M, D] scaled to length 1, in double precision: 1 - cosine of neighbours is near 0."""
    features = np.asarray(features, np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def density(rows: np.ndarray, bandwidth: float = 0.1) -> np.ndarray:
    """[M] sum over m of exp(-((1 - a_n . a_m) / bandwidth)^2) of unit rows a [M, D]."""
    values = rows @ rows.T  # [M, M], in which everything else is done: M may be thousands
    values -= 1.0
    values *= values
    values *= -1.0 / bandwidth**2
    return np.exp(values, out=values).sum(1)


def dense_rows(densities: list[np.ndarray], sparse_share: float = 0.4) -> np.ndarray:
    """Rows whose density is above the threshold in every space; the threshold is entry floor(share M) of it.

    Args:
        densities: [M] per space.
        sparse_share: below one half, so that two spaces always agree on some row.
    Returns:
        [k] ascending row numbers. Where no row lies above the threshold (the released code stops then: always
        with one or two rows, often with a few), those that reach it: at least one.
    """
    limits = [np.sort(each)[int(sparse_share * len(each))] for each in densities]
    pairs = list(zip(densities, limits, strict=True))
    found = np.flatnonzero(np.logical_and.reduce([each > limit for each, limit in pairs]))
    if len(found):
        return found
    return np.flatnonzero(np.logical_and.reduce([each >= limit for each, limit in pairs]))


def joint_pursuit(
    student: np.ndarray,
    teacher: np.ndarray,
    candidates: np.ndarray,
    *,
    count: int,
    tie: float,
    exclude_chosen: bool = True,
) -> np.ndarray:
    """Candidates whose rows explain most of all rows, in both spaces together.

    With residuals R, at first the rows themselves, and u = a_k . R_n in each space, the coefficients
    w = (u + tie (u_student + u_teacher)) / (1 + 2 tie) minimise what candidate k leaves of R plus tie times
    the squared difference of the two coefficients. What it removes is sum_n w u of both spaces: the largest
    wins, and w a_k is taken from R. Of R only the products u are needed, and one step changes them by
    (a_j . a_k) w_n.

    Args:
        student, teacher: [M, D] unit rows; D may differ.
        candidates: [k] row numbers, at least one.
        count: choices.
        tie: 0 lets each space have coefficients of its own; large values make them equal.
        exclude_chosen: see `PrototypeRule`; then there are no more choices than candidates.
    Returns:
        [min(count, k)] row numbers, or [count] with repetitions.
    """
    products = [space[candidates] @ space.T for space in (student, teacher)]  # [k, M] each
    atoms = [each[:, candidates].copy() for each in products]  # [k, k] a_j . a_k
    is_free = np.ones(len(candidates), bool)
    chosen = []
    for _ in range(min(count, len(candidates)) if exclude_chosen else count):
        own, given = products
        # Sums of own^2 + given^2 + tie (own + given)^2, without making those.
        squares, cross = _row_products(own, own) + _row_products(given, given), _row_products(own, given)
        gain = (1.0 + tie) * squares + 2.0 * tie * cross
        best = int(np.argmax(np.where(is_free, gain, -1.0)))
        shared = tie * (own[best] + given[best])
        for product, atom in zip(products, atoms, strict=True):
            product -= np.outer(atom[:, best], (product[best] + shared) / (1.0 + 2.0 * tie))
        is_free[best] = not exclude_chosen
        chosen.append(candidates[best])
    return np.array(chosen, np.int64)


def _row_products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("kn,kn->k", first, second)
