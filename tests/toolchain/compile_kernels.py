"""Builds Jittor for CUDA and every CUDA kernel of jld.ops: run by test_cuda_compiles.py, one line per kernel.

With stand-ins instead of NVIDIA's libraries nothing is computed; on a GPU everything is.
"""

import sys

import numpy as np

from jld.ops.deform_conv import DeformConv
from jld.ops.max_iou_match import max_iou_match
from jld.ops.nms import nms_mask
from jld.ops.roi_align import roi_align
from jld.ops.rotated_iou import aligned_rotated_iou, pairwise_rotated_iou
from jld.ops.rotated_match import rotated_match
from jld.ops.rotated_nms import rotated_nms_mask
from jld.toolchain import jittor as jt

RNG = np.random.default_rng(0)


def random(*shape):
    return jt.array(RNG.uniform(1, 9, shape).astype(np.float32))


def with_gradients(function, *inputs):
    result = function(*inputs)
    return [result, *jt.grad((result * result).sum(), list(inputs))]


def deform_conv():
    layer = DeformConv(4, 4, 3, padding=1, deform_groups=2)
    x = random(2, 4, 8, 8)
    result = layer(x)
    return [result, *jt.grad((result * result).sum(), [x, layer.weight, layer.conv_offset.weight])]


def half_precision_pool():
    x = random(1, 2, 8, 8).float16()
    return [jt.nn.Pool(3, stride=2, padding=1, op="maximum")(x)]


def rotated_matches():
    found = rotated_match(random(6, 5), random(2, 3, 5), jt.ones((2, 3)), jt.ones((2, 6)), min_pos_iou=0.0)
    return [found.best, found.first, found.claimed, found.reached]


KERNELS = {
    "convolution": lambda: with_gradients(
        lambda x, w: jt.nn.conv2d(x, w, padding=1), random(1, 4, 8, 8), random(4, 4, 3, 3)
    ),
    "half convolution": lambda: [
        jt.nn.conv2d(random(1, 4, 8, 8).float16(), random(4, 4, 3, 3).float16(), padding=1)
    ],
    "half pooling": half_precision_pool,
    "sort": lambda: list(jt.argsort(random(4, 9), dim=1)),
    "product": lambda: [random(4, 5) @ random(5, 6)],
    "deform_conv": deform_conv,
    "nms_mask": lambda: [nms_mask(random(2, 5, 4), jt.zeros((2, 5)).int32(), 0.5)],
    "max_iou_match": lambda: list(
        max_iou_match(
            random(6, 4), random(2, 3, 4), jt.ones((2, 3)), jt.ones((2, 6)), min_pos_iou=0.0, assign_all=True
        )
    ),
    "roi_align": lambda: with_gradients(
        lambda x: roi_align([x], random(2, 3, 4), jt.zeros((2, 3)).int32(), [4], size=2), random(2, 4, 8, 8)
    ),
    "pairwise_rotated_iou": lambda: [pairwise_rotated_iou(random(4, 5), random(3, 5))],
    "aligned_rotated_iou": lambda: [aligned_rotated_iou(random(4, 5), random(4, 5))],
    "rotated_match": rotated_matches,
    "rotated_nms_mask": lambda: [rotated_nms_mask(random(2, 5, 5), jt.zeros((2, 5)).int32(), 0.5)],
}


def main() -> int:
    """Compiles and starts every kernel; returns the number of those that failed."""
    jt.flags.use_cuda = 1
    failed = 0
    for name, make in KERNELS.items():
        try:
            jt.sync(make())
            jt.sync_all(True)
            print("compiled", name, flush=True)
        except RuntimeError as problem:
            failed += 1
            print("failed", name, problem, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
