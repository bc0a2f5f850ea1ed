"""Rotated boxes for tests: random ones, and pairs that break careless geometry."""

import numpy as np


def random_rboxes(rng, count, extent, low=2.0, high=100.0):
    """[count, 5] float32 boxes with centres in [0, extent] px, sides in [low, high] px and any angle."""
    centers = rng.uniform(0, extent, (count, 2))
    sides = np.exp(rng.uniform(np.log(low), np.log(high), (count, 2)))
    return np.float32(np.concatenate([centers, sides, rng.uniform(-7, 7, (count, 1))], 1))


def degenerate_pairs(count=2000):
    """{what is special: (first [count, 5], second [count, 5])}, both float32."""
    rng = np.random.default_rng(7)
    boxes, others = random_rboxes(rng, count, 50), random_rboxes(rng, count, 50)
    large, larger = random_rboxes(rng, count, 1e4, 1e-3, 1e4), random_rboxes(rng, count, 1e4, 1e-3, 1e4)
    whole = np.float32(np.round(np.stack([boxes, others])) * [1, 1, 1, 1, 0])
    turned = boxes + np.float32([0, 0, 0, 0, np.pi / 2])
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    beside = boxes.copy()
    beside[:, :2] += boxes[:, 2:3] * np.stack([cos, sin], 1)
    pairs = {
        "identical": (large, large),
        "half a turn": (boxes, boxes + np.float32([0, 0, 0, 0, np.pi])),
        "other edge first": (boxes, turned[:, [0, 1, 3, 2, 4]]),
        "nearly identical": (boxes, boxes + rng.normal(0, 1e-4, boxes.shape)),
        "touching": (boxes, beside),
        "whole pixels": (whole[0], whole[1] + np.float32([0, 0, 0, 0, np.pi / 2])),
        "whole pixels, upright": (whole[0], whole[1]),
        "thin inside": (boxes, boxes * [1, 1, 1, 1e-3, 1]),
        "crossing lines": (boxes * [1, 1, 1, 1e-4, 1], turned * [1, 1, 1, 1e-4, 1]),
        "without area": (boxes, boxes * [1, 1, 1, 0, 1]),
        "large and small": (large, larger),
        "inside": (large, large * [1, 1, 0.5, 0.5, 1] + [0, 0, 0, 0, 0.1]),
        "many turns": (boxes, others + np.float32([0, 0, 0, 0, 200 * np.pi])),
    }
    return {name: (np.float32(first), np.float32(second)) for name, (first, second) in pairs.items()}
