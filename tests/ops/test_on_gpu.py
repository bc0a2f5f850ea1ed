"""Every kernel on the GPU against its CPU twin, on the same inputs."""

import numpy as np
import pytest

from jld.toolchain import jittor as jt
from tests.ops.kernels import KERNELS

# Share of the largest value; cuDNN works in TF32, which has ten binary digits behind the point,
# and sums that round to the neighbouring half differ by a unit of its last place.
TOLERANCES = {
    "convolution": 5e-3,
    "deform_conv": 5e-3,
    "modulated_deform_conv": 5e-3,
    "half_convolution": 2e-3,
    "half_pooling": 2e-3,
}
TOLERANCES |= {"half_convolution_groups": 2e-3, "half_convolution_bfloat16": 1.6e-2}


@pytest.mark.gpu
@pytest.mark.parametrize("name", KERNELS)
def test_the_gpu_equals_the_cpu(name):
    results = []
    for use_cuda in (0, 1):
        with jt.flag_scope(use_cuda=use_cuda):
            results.append([var.numpy() for var in KERNELS[name](np.random.default_rng(7))])
    for expected, found in zip(*results, strict=True):
        assert found.shape == expected.shape and found.dtype == expected.dtype
        limit = TOLERANCES.get(name, 1e-5) * max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=0, atol=limit)
