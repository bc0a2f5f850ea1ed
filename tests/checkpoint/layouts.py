"""Names and shapes of published detectors, written from their documentation, not from our models."""

from __future__ import annotations

import numpy as np

Shapes = dict[str, tuple[int, ...]]
BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def batch_norm(name: str, width: int) -> Shapes:
    shapes = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return shapes | {f"{name}.num_batches_tracked": ()}


def resnet(depth: int, prefix: str = "backbone.", groups: int = 1, dcn: tuple[int, ...] = ()) -> Shapes:
    """`groups` 32 is ResNeXt 32x4d; `dcn` holds the stages, 1 to 4, with deformable convolutions."""
    shapes: Shapes = {"conv1.weight": (64, 3, 7, 7), **batch_norm("bn1", 64)}
    is_basic = depth in BASIC
    width_in = 64
    for stage, num_blocks in enumerate((BASIC if is_basic else BOTTLENECK)[depth]):
        plane = 64 << stage
        width_out = plane if is_basic else 4 * plane
        for block in range(num_blocks):
            name = f"layer{stage + 1}.{block}"
            kernels = [(plane, width_in, 3, 3), (plane, plane, 3, 3)]
            if not is_basic:
                width = plane if groups == 1 else 2 * plane
                kernels = [
                    (width, width_in, 1, 1),
                    (width, width // groups, 3, 3),
                    (width_out, width, 1, 1),
                ]
            if stage + 1 in dcn:
                shapes |= conv(f"{name}.conv2.conv_offset", (18, kernels[1][0], 3, 3))
            for index, kernel in enumerate(kernels, 1):
                shapes |= {f"{name}.conv{index}.weight": kernel, **batch_norm(f"{name}.bn{index}", kernel[0])}
            if block == 0 and width_in != width_out:
                shapes[f"{name}.downsample.0.weight"] = (width_out, width_in, 1, 1)
                shapes |= batch_norm(f"{name}.downsample.1", width_out)
            width_in = width_out
    return {prefix + name: shape for name, shape in shapes.items()}


def fpn_and_towers(widths: tuple[int, ...], p6_width: int, has_norm: bool) -> Shapes:
    shapes: Shapes = {}
    for index, width in enumerate(widths):
        shapes |= conv(f"neck.lateral_convs.{index}.conv", (256, width, 1, 1))
    for index in range(5):
        shapes |= conv(f"neck.fpn_convs.{index}.conv", (256, p6_width if index == 3 else 256, 3, 3))
    for tower in ("cls_convs", "reg_convs"):
        for index in range(4):
            name = f"bbox_head.{tower}.{index}"
            shapes |= {f"{name}.conv.weight": (256, 256, 3, 3)}
            norm = {f"{name}.gn.weight": (256,), f"{name}.gn.bias": (256,)}
            shapes |= norm if has_norm else {f"{name}.conv.bias": (256,)}
    return shapes


def faster_rcnn(depth: int, num_classes: int = 80) -> Shapes:
    shapes = resnet(depth)
    for index, width in enumerate((64, 128, 256, 512) if depth in BASIC else (256, 512, 1024, 2048)):
        shapes |= conv(f"neck.lateral_convs.{index}.conv", (256, width, 1, 1))
        shapes |= conv(f"neck.fpn_convs.{index}.conv", (256, 256, 3, 3))
    shapes |= conv("rpn_head.rpn_conv", (256, 256, 3, 3))
    shapes |= conv("rpn_head.rpn_cls", (3, 256, 1, 1)) | conv("rpn_head.rpn_reg", (12, 256, 1, 1))
    sizes = {"shared_fcs.0": (1024, 256 * 49), "shared_fcs.1": (1024, 1024)}
    sizes |= {"fc_cls": (num_classes + 1, 1024), "fc_reg": (4 * num_classes, 1024)}
    for name, kernel in sizes.items():
        shapes |= conv(f"roi_head.bbox_head.{name}", kernel)
    return shapes


def conv(name: str, kernel: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight": kernel, f"{name}.bias": kernel[:1]}


def gfl(depth: int, num_classes: int = 80, num_bins: int = 17, **backbone) -> Shapes:
    widths = (128, 256, 512) if depth in BASIC else (512, 1024, 2048)
    shapes = resnet(depth, **backbone) | fpn_and_towers(widths, 256, has_norm=True)
    shapes |= conv("bbox_head.gfl_cls", (num_classes, 256, 3, 3))
    shapes |= conv("bbox_head.gfl_reg", (4 * num_bins, 256, 3, 3))
    shapes |= {f"bbox_head.scales.{index}.scale": () for index in range(5)}
    return shapes | {"bbox_head.integral.project": (num_bins,)}


def rotated_retina(depth: int, has_distribution: bool, kernel: int = 3) -> Shapes:
    widths = (128, 256, 512) if depth in BASIC else (512, 1024, 2048)
    shapes = resnet(depth) | fpn_and_towers(widths, widths[-1], has_norm=False)
    shapes |= conv("bbox_head.retina_cls", (135, 256, kernel, kernel))
    shapes |= conv("bbox_head.retina_reg", (405 if has_distribution else 45, 256, kernel, kernel))
    supports = {"bbox_head.integral.project": (9,), "bbox_head.integral_angle.project": (9,)}
    return shapes | supports if has_distribution else shapes


def ours(shapes: Shapes) -> Shapes:
    """What the model of a layout has in Jittor: no counters, no constants, no scalars without an axis."""
    return {
        name: shape or (1,)
        for name, shape in shapes.items()
        if not name.endswith(("num_batches_tracked", ".project"))
    }


def zeros(shapes: Shapes) -> dict[str, np.ndarray]:
    """A state that takes no memory; supports hold their real values."""
    state = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    for name, values in supports(shapes).items():
        state[name] = values
    return state


def supports(shapes: Shapes) -> dict[str, np.ndarray]:
    found = {}
    if "bbox_head.integral_angle.project" in shapes:
        found["bbox_head.integral.project"] = np.linspace(-2, 2, 9, dtype=np.float32)
        found["bbox_head.integral_angle.project"] = np.linspace(-5, 2, 9, dtype=np.float32)
    elif "bbox_head.integral.project" in shapes:
        found["bbox_head.integral.project"] = np.arange(
            shapes["bbox_head.integral.project"][0], dtype=np.float32
        )
    return found
