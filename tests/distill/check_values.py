"""Arrays that can be written down in a line, for check values computed elsewhere in double precision."""

import numpy as np


def student(*shape):
    """float32 sin(0.37 k + 0.1) at the flat index k."""
    k = np.arange(np.prod(shape))
    return np.sin(0.37 * k + 0.1).reshape(shape).astype(np.float32)


def teacher(*shape):
    """float32 2 cos(0.23 k) + 0.5 sin(0.11 k) + 0.3 at the flat index k."""
    k = np.arange(np.prod(shape))
    return (2 * np.cos(0.23 * k) + 0.5 * np.sin(0.11 * k) + 0.3).reshape(shape).astype(np.float32)


def class_logits():
    """Student's and teacher's [1, 6, 5] logits of six places."""
    return 3 * student(1, 6, 5) - 2, 2 * teacher(1, 6, 5) - 2


def box_logits():
    """Student's and teacher's [1, 6, 4, 17] logits of the same places."""
    return 2 * student(1, 6, 4, 17), teacher(1, 6, 4, 17)


LABEL_WEIGHTS = np.float32([[1, 1, 0, 1, 1, 1]])
