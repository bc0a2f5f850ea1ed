"""Distances of Gaussians by their textbook definitions, with matrices in float64; box pairs for the tests."""

import numpy as np

from jld.losses import GDLoss, distance_to_loss
from jld.toolchain import jittor as jt

# Four pairs with hand-checked numbers: identical, ordinary, a turned square, thin boxes at a small angle.
PRED = np.array([[50, 40, 30, 10, 0.5], [50, 40, 30, 10, 0.5], [10, 10, 20, 20, 0.3], [0, 0, 100, 4, 0]])
TARGET = np.array([[50, 40, 30, 10, 0.5], [53, 38, 24, 12, 0.9], [10, 10, 20, 20, 1.1], [0, 0, 100, 4, 0.05]])


def random_pairs(count, seed):
    """Overlapping boxes [count, 5] and [count, 5], every second target named by its other side."""
    rng = np.random.default_rng(seed)
    pred = np.concatenate(
        [
            rng.uniform(20, 80, (count, 2)),
            np.exp(rng.uniform(1, 4.5, (count, 2))),
            rng.uniform(-2, 2, (count, 1)),
        ],
        1,
    )
    target = pred * [1, 1, 1.3, 0.8, 1] + rng.normal(0, 1, (count, 5)) * [3, 3, 0, 0, 0.3]
    target[::2] = other_name(target[::2])
    return pred.astype(np.float32), target.astype(np.float32)


def other_name(boxes):
    """The same rectangles with exchanged sides."""
    x, y, w, h, angle = boxes.T
    return np.stack([x, y, h, w, angle + np.pi / 2], 1)


def moved(boxes, angle, shift):
    """Boxes turned about the origin, then shifted."""
    turned = boxes[:, :2] @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.concatenate([turned + shift, boxes[:, 2:4], boxes[:, 4:] + angle], 1)


def extreme_pairs():
    """Every pair [n, 5], [n, 5] of boxes without area, huge, thin, far away, or turned beyond a period."""
    boxes = np.array(
        [
            [50, 40, 30, 10, 0.5],
            [50, 40, 0, 10, 0.5],
            [50, 40, 0, 0, 0.5],
            [0, 0, 0, 0, 0],
            [50, 40, -3, 10, 0.5],
            [1e5, -1e5, 30, 10, 0.5],
            [50, 40, 1e5, 1e5, 0.5],
            [50, 40, 1e4, 1e-4, 0.5],
            [50, 40, 1e-4, 1e4, 0.5],
            [50, 40, 30, 10, 1e3],
            [50, 40, 30, 10, 0.5 + np.pi / 4],
            [50, 40, 20, 20, -7],
        ]
    )
    index = np.arange(len(boxes))
    return np.repeat(boxes, len(boxes), axis=0), boxes[np.tile(index, len(boxes))]


def gaussian(box):
    x, y, w, h, angle = np.asarray(box, np.float64)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.array([x, y]), turn @ np.diag([w * w / 4, h * h / 4]) @ turn.T


def matrix_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.sqrt(np.maximum(values, 0))) @ vectors.T


def wasserstein(first, second):
    (mean1, cov1), (mean2, cov2) = gaussian(first), gaussian(second)
    root = matrix_root(cov1)
    return ((mean1 - mean2) ** 2).sum() + np.trace(cov1 + cov2 - 2 * matrix_root(root @ cov2 @ root))


def kl_second_to_first(first, second):
    (mean1, cov1), (mean2, cov2) = gaussian(first), gaussian(second)
    inverse, shift = np.linalg.inv(cov1), mean1 - mean2
    log_ratio = np.linalg.slogdet(cov1)[1] - np.linalg.slogdet(cov2)[1]
    return 0.5 * (shift @ inverse @ shift + np.trace(inverse @ cov2) + log_ratio - 2)


def bhattacharyya(first, second):
    (mean1, cov1), (mean2, cov2) = gaussian(first), gaussian(second)
    mean_cov, shift = (cov1 + cov2) / 2, mean1 - mean2
    logs = [np.linalg.slogdet(cov)[1] for cov in (mean_cov, cov1, cov2)]
    return shift @ np.linalg.inv(mean_cov) @ shift / 8 + 0.5 * (logs[0] - 0.5 * (logs[1] + logs[2]))


def kfiou(first, second):
    (_, cov1), (_, cov2) = gaussian(first), gaussian(second)
    product = np.linalg.inv(np.linalg.inv(cov1) + np.linalg.inv(cov2))
    area1, area2, common = (4 * np.sqrt(np.linalg.det(cov)) for cov in (cov1, cov2, product))
    return common / (area1 + area2 - common)


def rows(function, first, second):
    return np.array([function(a, b) for a, b in zip(first, second, strict=True)])


def difference_quotients(function, first, second, step=1e-5):
    """Central differences [n, 5] of `function(first row, second row)` by the first box."""
    result = np.zeros(np.shape(first))
    for row, (a, b) in enumerate(zip(np.float64(first), np.float64(second), strict=True)):
        for column in range(5):
            ends = []
            for sign in (1, -1):
                at = a.copy()
                at[column] += sign * step
                ends.append(function(at, b))
            result[row, column] = (ends[0] - ends[1]) / (2 * step)
    return result


class Elements:
    """Element losses of box pairs and the way back from them to the predicted boxes.

    The distance of a GDLoss is computed on its own: its kernels then serve every `fun` and `tau`.
    """

    def __init__(self, loss, pred, target):
        self.boxes = jt.array(np.asarray(pred, np.float32))
        target = jt.array(np.asarray(target, np.float32))
        if isinstance(loss, GDLoss):
            self.start = loss.distance(self.boxes, target)
            self.start.sync()
            self.values = distance_to_loss(self.start, loss.fun, loss.tau, loss.distance_floor)
        else:
            self.start = self.values = loss.element_loss(self.boxes, target)
        self.values.sync()

    def gradient(self, total):
        """d `total` / d boxes as an array [n, 5]."""
        upstream = jt.grad(total, self.start, retain_graph=True).detach()
        upstream.sync()
        return jt.grad((self.start * upstream).sum(), self.boxes, retain_graph=True).numpy()
