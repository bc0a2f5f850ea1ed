"""One set of priors per image, in one call and image by image."""

import numpy as np

from jld.toolchain import jittor as jt


def own_and_alone(function, arrays):
    """Results of `function` on arrays [N, ...], in one call and joined from N calls with [1, ...]."""
    together = [var.numpy() for var in function(*map(jt.array, arrays))]
    alone = [
        [var.numpy() for var in function(*(jt.array(array[image : image + 1]) for array in arrays))]
        for image in range(len(arrays[0]))
    ]
    return together, [np.concatenate(parts) for parts in zip(*alone, strict=True)]
