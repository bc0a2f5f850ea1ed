"""RetinaNet with MSRA's ResNet, deformable blocks and Swin transformers against detectron2's numbers."""

import numpy as np
import pytest

from jld.apis import register_parts
from jld.checkpoint.names import detectron2
from jld.config import load_config
from jld.errors import ConfigError
from jld.models import ResNet, SwinTransformer, build_detector
from jld.models.backbones.resnet import Bottleneck
from jld.models.backbones.swin_layouts import merging_layout, relative_position_index, window_layout
from jld.models.pretrained import assign_state
from jld.ops.deform_conv import DCNv2
from jld.ops.window_attention import APART
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.golden_cases import ROOT, case, fill
from tests.models.detectron2_golden import assert_gradients, fill_weights, weights_of
from tests.models.golden_detections import assert_detections_match
from tests.models.golden_models import assert_sampled, generated

CONFIG = "configs/retinanet/retinanet_r50_detectron2_ms_2x_coco.py"


@pytest.fixture(scope="module", autouse=True)
def parts():
    register_parts()


@pytest.mark.golden
def test_retinanet_from_image_to_detections():
    """The shipped config is detectron2's RetinaNet R-50, weights by its own names."""
    meta, arrays = case("l_retina_full")
    config = load_config(ROOT / CONFIG)
    detector = build_detector(config)
    assign_state(detector, weights_of(meta, "student"), what="golden weights")
    detector.train()
    mean = np.float32(detector.normalisation.mean)[:, None, None]
    images = np.zeros(meta["padded"], np.float32)
    for i, row in enumerate(images):
        image = fill.generate(meta["generated"][f"image/{i}"])
        row[:, : image.shape[1], : image.shape[2]] = image - mean
    assert_sampled(meta, arrays, "out/image", images, 1e-6)
    targets = make_targets(
        [arrays[f"in/gt_bboxes/{i}"] for i in (0, 1)],
        [meta["padded"][2:]] * 2,
        [arrays[f"in/gt_labels/{i}"] for i in (0, 1)],
    )
    with jt.no_grad():
        for level, x in enumerate(detector.backbone(jt.array(images))[1:], 3):
            assert_sampled(meta, arrays, f"out/backbone/res{level}", x.numpy(), 1e-4)
    features = detector.features(jt.array(images))
    for level, x in enumerate(features, 3):
        assert_sampled(meta, arrays, f"out/fpn/p{level}", x.numpy(), 1e-4)
    trace = detector.predict(features, targets)
    losses = detector.losses(trace, targets)
    for ours, key in (("loss_cls", "loss_cls"), ("loss_bbox", "loss_box_reg")):
        assert losses[ours].item() == pytest.approx(arrays[f"loss/{key}"], rel=5e-4)
    named = detectron2.exported(dict(detector.named_parameters()))
    named = {
        "student." + name.replace("backbone.bottom_up.", "raw_backbone."): var
        for name, var in named.items()
        if not var.is_stop_grad()
    }
    assert sorted(named) == sorted(meta["grad_names"])
    sampled = [name for name in named if f"grad/{name}" in meta["sampled"]]
    for name, gradient in zip(
        sampled, jt.grad(sum(losses.values()), [named[key] for key in sampled]), strict=True
    ):
        assert_sampled(meta, arrays, f"grad/{name}", gradient.numpy(), 2e-3)
    shapes = np.float32([arrays[f"in/img_shape/{i}"] for i in (0, 1)])
    original = np.float32([arrays[f"in/ori_shape/{i}"] for i in (0, 1)])
    scales = np.tile((shapes / original)[:, ::-1], 2)
    batch = {"img_ids": [0, 1], "img_shapes": shapes, "scale_factors": scales}
    for image, found in enumerate(detector.detect(trace, batch)):
        assert_detections_match(found, arrays[f"out/det{image}/boxes"], arrays[f"out/det{image}/labels"])


def block_of(spec):
    stride, width, out = spec["stride"], spec["bottleneck_channels"], spec["out_channels"]
    downsample = None
    if spec["in_channels"] != out:
        downsample = ResNet._shortcut(spec["in_channels"], out, stride, fixed_statistics=True)
    return Bottleneck(
        spec["in_channels"],
        out // 4,
        stride=stride,
        downsample=downsample,
        fixed_statistics=True,
        dcn=DCNv2(),
        width=width,
        style="caffe" if spec["stride_in_1x1"] else "pytorch",
        groups=spec["num_groups"],
    )


@pytest.mark.golden
@pytest.mark.parametrize("form", ["r_s2", "x_s2", "x_s1"])
def test_modulated_deformable_blocks(form):
    meta, arrays = case("l_dcnv2_block")
    block = block_of(meta["blocks"][form])
    state = {name.replace(form, "res3.0", 1): values for name, values in weights_of(meta, form).items()}
    own = fill_weights(block, "backbone.layer2.0.", state)
    x = generated(meta, f"{form}/x")
    y = block(x)
    assert_sampled(meta, arrays, f"out/{form}", y.numpy(), 1e-4)
    theirs = detectron2.exported({name: var for name, var in own.items() if ".bn" not in name})
    theirs = {name.replace("backbone.bottom_up.res3.0", form): var for name, var in theirs.items()}
    theirs = {name: var for name, var in theirs.items() if ".norm." not in name}
    loss = (y * generated(meta, f"{form}/r")).sum() * 0.01
    gradients = [gradient.numpy() for gradient in jt.grad(loss, [*theirs.values(), x])]
    assert_gradients(meta, arrays, list(theirs), gradients[:-1], f"/{form}")
    assert_sampled(meta, arrays, f"grad/{form}/x", gradients[-1], 1e-3)


def swin_of(meta):
    spec = dict(meta["swin"])
    options = {
        "embed_dims": spec.pop("embed"),
        "depths": spec.pop("depths"),
        "num_heads": spec.pop("heads"),
        "window_size": spec.pop("window"),
        "mlp_ratio": spec.pop("mlp_ratio"),
        "drop_path_rate": spec.pop("drop_path", 0),
    }
    assert not spec, spec
    return SwinTransformer(**options, out_indices=range(len(options["depths"])))


@pytest.mark.golden
@pytest.mark.parametrize("name", ["l_swin_small", "l_swin_tiny"])
def test_swin_transformers(name):
    meta, arrays = case(name)
    swin = swin_of(meta)
    own = fill_weights(swin, "backbone.", weights_of(meta, "swin"), "swin")
    x = generated(meta, "x")
    maps = swin(x)
    loss = 0
    for stage, found in enumerate(maps, 2):
        key = f"out/stage{stage}"
        loss = loss + (found * generated(meta, f"r/stage{stage}")).sum() * 0.01
        if key in arrays:
            expected = arrays[key]
            np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
        else:
            assert_sampled(meta, arrays, key, found.numpy(), 1e-4)
    assert loss.item() == pytest.approx(arrays["loss/total"], abs=1e-3)
    named = {name.removeprefix("backbone."): var for name, var in own.items()}
    gradients = [gradient.numpy() for gradient in jt.grad(loss, list(named.values()))]
    assert_gradients(meta, arrays, list(named), gradients, "")


@pytest.mark.golden
def test_layouts_of_windows():
    _, arrays = case("l_swin_small")
    for block, size in ((1, (10, 12)), (3, (5, 6))):
        _, _, regions = window_layout(*size, 4, 2)
        apart = np.where(regions[:, :, None] == regions[:, None], 0.0, APART)
        np.testing.assert_array_equal(apart, arrays[f"out/shift_mask/{block}"])
    _, arrays = case("l_swin_tiny")
    np.testing.assert_array_equal(relative_position_index(7), arrays["out/relative_position_index"])


@pytest.mark.parametrize("shift", [0, 3])
def test_a_window_layout_is_pad_roll_and_cut(shift):
    height, width, window = 9, 16, 7
    tokens, places, _ = window_layout(height, width, window, shift)
    padded = np.full((14, 21), -1)
    padded[:height, :width] = np.arange(height * width).reshape(height, width)
    rolled = np.roll(padded, (-shift, -shift), (0, 1))
    expected = [
        rolled[i : i + window, j : j + window].ravel()
        for i in range(0, 14, window)
        for j in range(0, 21, window)
    ]
    np.testing.assert_array_equal(tokens, np.concatenate(expected))
    np.testing.assert_array_equal(tokens[places], np.arange(height * width))


def test_merging_pads_odd_sizes():
    tokens, places = merging_layout(3, 3)
    assert tokens.tolist() == [0, 3, 1, 4, 2, 5, -1, -1, 6, -1, 7, -1, 8, -1, -1, -1]
    assert tokens[places].tolist() == list(range(9))


def test_branches_are_dropped_in_training_only():
    swin = SwinTransformer(8, (2,), (2,), window_size=4, drop_path_rate=0.5, out_indices=(0,))
    swin.layers[0].blocks[1].attn.proj.bias = jt.ones((8,))
    images = jt.randn(4, 3, 16, 16)
    swin.eval()
    (still,) = swin(images)
    np.testing.assert_array_equal(still.numpy(), swin(images)[0].numpy())
    swin.train()
    drawn = []
    for _ in range(2):
        jt.set_seed(5)
        drawn.append(swin(images)[0].numpy())
    np.testing.assert_array_equal(*drawn)
    assert np.abs(drawn[0] - still.numpy()).max() > 1e-3


def test_bad_options_of_swin_are_named():
    for options, message in (
        ({"num_heads": (3, 6)}, "one per stage"),
        ({"embed_dims": 90, "num_heads": (4, 6, 12, 24)}, "4 heads do not divide a width of 90"),
        ({"out_indices": (1, 4)}, "0 to 3"),
        ({"drop_path_rate": 1.0}, r"\[0, 1\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            SwinTransformer(**options)
