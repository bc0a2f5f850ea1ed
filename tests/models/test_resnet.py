"""Options of the backbone: strides, frozen parts, error messages; sizes of the whole detector."""

import numpy as np
import pytest

from jld.errors import ConfigError
from jld.models import ResNet
from jld.toolchain import jittor as jt
from tests.models.test_parameters import gfl


def test_style_decides_where_the_stride_sits():
    pytorch, caffe = ResNet(50), ResNet(50, style="caffe")
    assert pytorch.layer2[0].conv1.stride == (1, 1) and pytorch.layer2[0].conv2.stride == (2, 2)
    assert caffe.layer2[0].conv1.stride == (2, 2) and caffe.layer2[0].conv2.stride == (1, 1)


def test_frozen_parts_keep_their_statistics_even_without_norm_eval():
    model = ResNet(18, norm_eval=False, frozen_stages=1)
    assert model.bn1.fixed_statistics and model.layer1[1].bn2.fixed_statistics
    assert not model.layer2[0].bn1.fixed_statistics and not model.layer2[0].downsample[1].fixed_statistics


def test_fixed_normalisations():
    model = ResNet(18, frozen_stages=-1, norm_trainable=False)
    learning = {name for name, var in model.named_parameters() if not var.is_stop_grad()}
    assert "conv1.weight" in learning and not any("bn" in name or "downsample.1" in name for name in learning)


def test_initial_blocks_are_identities():
    assert not ResNet(50).layer3[2].bn3.weight.numpy().any()
    assert ResNet(50, zero_init_residual=False).layer3[2].bn3.weight.numpy().all()


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(depth=20), "depth 20"),
        (dict(depth=50, style="tensorflow"), "pytorch"),
        (dict(depth=18, groups=32), "no grouped"),
        (dict(depth=50, dcn={"deformable_groups": 1}), "only deform_groups"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        ResNet(**options)


def test_sizes_of_an_odd_image():
    # Shapes are known without running anything.
    trace = gfl(18)(jt.zeros((2, 3, 203, 331)))
    sizes = [[26, 42], [13, 21], [7, 11], [4, 6], [2, 3]]
    assert [x.shape[2:] for x in trace.features] == sizes
    count = sum(int(np.prod(size)) for size in sizes)
    stage = trace.stage()
    assert len(stage.places) == count
    assert stage.predictions["cls_logits"].shape == [2, count, 80]
    assert stage.predictions["box_logits"].shape == [2, count, 4, 17]
