"""A teacher's box-edge distribution on the student's bins, where the two heads cut an edge into other bins.

An option of jld; the published methods need heads of one support.
"""

from __future__ import annotations

import numpy as np

from jld.models.boxes import DistanceBoxes, DistributionBoxes, mean_the_same
from jld.models.interface import StageInterface


def reference_shift(student: StageInterface, teacher: StageInterface) -> np.ndarray:
    """[4] what to add to the teacher's distances, in strides, to measure them from the student's points.

    Stages place a cell's point at its corner or its centre (`center_offset`); distances are to the left, top,
    right and bottom.
    """
    return (student.center_offset - teacher.center_offset) * np.array([1.0, 1.0, -1.0, -1.0])


def projection(student: StageInterface, teacher: StageInterface) -> np.ndarray | None:
    """The matrices that take the teacher's probabilities to the student's bins.

    The probability of a teacher's bin is split between the two student bins around its value, in proportion
    to their nearness: the expectation stays the same. What lies outside the student's range goes to its
    outermost bin.

    Args:
        student, teacher: stages whose boxes are `DistributionBoxes` of equally many numbers.
    Returns:
        float32 [S, B_teacher, B_student], rows adding up to 1; None where the bins agree already.
    Raises:
        ValueError: the boxes of a stage are no distributions.
    """
    boxes = _distributions(student)
    own, given = (each.supports.astype(np.float64) for each in (boxes, _distributions(teacher)))
    if isinstance(boxes.of, DistanceBoxes):  # deltas are relative to anchors, not to points
        given = given + reference_shift(student, teacher)[:, None]
    if own.shape == given.shape and np.allclose(own, given, atol=1e-6):
        return None
    return np.stack([_split(*rows) for rows in zip(own, given, strict=True)]).astype(np.float32)


def equal_deltas(student: StageInterface, teacher: StageInterface) -> bool:
    """Whether equal expectations of two stages' distributions stand for equal boxes.

    Distances do where the places are cells, whose strides agree; of RoIs where they lie on equal levels.

    Raises:
        ValueError: the boxes of a stage are no distributions.
    """
    own, given = (_distributions(stage).of for stage in (student, teacher))
    if isinstance(own, DistanceBoxes) and isinstance(given, DistanceBoxes):
        return student.is_grid or student.anchors == teacher.anchors
    return mean_the_same(own, given) and student.anchors == teacher.anchors


def _distributions(stage: StageInterface) -> DistributionBoxes:
    if not isinstance(stage.boxes, DistributionBoxes):
        raise ValueError(f"the boxes of {stage.head} are no distributions, there is nothing to project.")
    return stage.boxes


def _split(own: np.ndarray, given: np.ndarray) -> np.ndarray:
    """[B_teacher, B_student] linear interpolation weights of `given` values between `own` ones."""
    place = np.interp(given, own, np.arange(len(own)))  # fractional bin, clipped to the range
    lower = np.minimum(place.astype(int), len(own) - 2)
    rows = np.arange(len(given))
    matrix = np.zeros((len(given), len(own)))
    matrix[rows, lower] = 1.0 - (place - lower)
    matrix[rows, lower + 1] = place - lower
    return matrix
