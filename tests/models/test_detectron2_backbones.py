"""RetinaNet with MSRA's ResNet, and modulated deformable blocks, against detectron2's numbers."""

import numpy as np
import pytest

from jld.apis import register_parts
from jld.checkpoint.names import detectron2
from jld.config import load_config
from jld.models import ResNet, build_detector
from jld.models.backbones.resnet import Bottleneck
from jld.models.pretrained import assign_state
from jld.ops.deform_conv import DCNv2
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
