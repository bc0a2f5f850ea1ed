"""Other frameworks' files laid over our models."""

from __future__ import annotations

import numpy as np
import pytest

from jld.checkpoint import (
    ConvertOptions,
    Report,
    convert_file,
    convert_state,
    detect_origin,
    map_name,
    read_checkpoint,
    require_complete,
    to_mmdet,
    write_torch,
)
from jld.errors import CheckpointError
from tests.checkpoint import layouts


def message_of(report: Report, what: str = "the teacher") -> str:
    with pytest.raises(CheckpointError) as caught:
        require_complete(report, what, "teacher.pth")
    message = str(caught.value)
    assert message.startswith("teacher.pth does not fit") and what in message and "\n" not in message
    return message


# (layout, entries, parameters without buffers) as counted by the method cards.
COUNTED = [
    (layouts.gfl(18), "mmdet", 170, 19_420_889),
    (layouts.gfl(34), "mmdet", 266, 29_529_049),
    (layouts.gfl(50), "mmdet", 368, 32_440_537),
    (layouts.gfl(101), "mmdet", 674, 51_432_665),
    (layouts.gfl(101, dcn=(2, 3, 4)), "mmdet", 734, 52_718_837),
    (layouts.gfl(101, groups=32), "mmdet", 674, 51_061_209),
    (layouts.gfl(101, groups=32, dcn=(3, 4)), "mmdet", 726, 53_467_053),
    (layouts.gfl(18, num_classes=20), "mmdet", 170, 19_282_589),
    (layouts.rotated_retina(18, has_distribution=False), "mmrotate", 156, 20_082_420),
    (layouts.rotated_retina(18, has_distribution=True), "mmrotate", 158, 20_912_220),
    (layouts.rotated_retina(34, has_distribution=True), "mmrotate", 254, 31_020_380),
    (layouts.rotated_retina(34, has_distribution=False), "mmrotate", 252, 30_190_580),
    (layouts.rotated_retina(50, has_distribution=True), "mmrotate", 356, 37_470_812),
]


@pytest.mark.parametrize(("layout", "origin", "num_entries", "num_parameters"), COUNTED)
def test_published_layouts_load_whole(layout, origin, num_entries, num_parameters):
    state = layouts.zeros(layout)
    assert len(state) == num_entries
    assert detect_origin(state) == origin
    options = ConvertOptions(supports=layouts.supports(layout))
    converted, report = convert_state(state, layouts.ours(layout), options=options)
    assert report.is_complete
    require_complete(report, "the model", "file.pth")
    assert {name: values.shape for name, values in converted.items()} == layouts.ours(layout)
    buffers = ("running_mean", "running_var")
    assert (
        sum(values.size for name, values in converted.items() if not name.endswith(buffers)) == num_parameters
    )
    assert len(report.loaded) + len(report.dropped) == num_entries


def test_jdet_kernels_move_to_the_centre_tap():
    layout = layouts.ours(layouts.rotated_retina(18, has_distribution=True, kernel=1))
    target = layouts.ours(layouts.rotated_retina(18, has_distribution=True))
    state = layouts.zeros(layout)
    kernel = np.random.default_rng(0).normal(size=(405, 256, 1, 1)).astype(np.float32)
    state["bbox_head.retina_reg.weight"] = kernel
    assert detect_origin(state) == "jdet"
    converted, report = convert_state(state, target)
    assert report.is_complete
    wide = converted["bbox_head.retina_reg.weight"]
    np.testing.assert_array_equal(wide[:, :, 1:2, 1:2], kernel)
    assert np.count_nonzero(wide) == np.count_nonzero(kernel)
    assert set(report.adapted) == {"bbox_head.retina_reg.weight", "bbox_head.retina_cls.weight"}


def test_only_prediction_kernels_grow():
    _, report = convert_state(
        {"neck.lateral_convs.0.conv.weight": np.ones((4, 4, 1, 1))},
        {"neck.lateral_convs.0.conv.weight": (4, 4, 3, 3)},
        "jdet",
    )
    assert report.shape_mismatch == {"neck.lateral_convs.0.conv.weight": ((4, 4, 1, 1), (4, 4, 3, 3))}


def test_backbone_files_get_their_prefix():
    state = layouts.zeros(layouts.resnet(50, prefix="")) | {
        "fc.weight": np.ones((10, 4)),
        "fc.bias": np.ones(10),
    }
    assert detect_origin(state) == "torchvision"
    target = layouts.ours(layouts.resnet(50))
    converted, report = convert_state(state, target)
    assert set(converted) == set(target) and report.is_complete
    assert report.dropped["fc.weight"] == "ImageNet classifier"
    detector = {
        name.replace("backbone.", "backbone.body."): value for name, value in layouts.zeros(target).items()
    }
    detector["backbone.fpn.inner_blocks.0.0.weight"] = np.ones((4, 4, 1, 1))  # as in its RetinaNet
    converted, report = convert_state(detector, target)
    assert report.origin == "torchvision" and report.is_complete


@pytest.mark.parametrize(
    ("origin", "name", "expected"),
    [
        ("mmdet", "bbox_head.gfl_cls.weight", "bbox_head.gfl_cls.weight"),
        ("mmdet", "backbone.layer2.0.conv2_offset.bias", "backbone.layer2.0.conv2.conv_offset.bias"),
        ("mmdet", "bbox_head.teacher_models.0.backbone.conv1.weight", None),
        ("mmdet", "ema_backbone_conv1_weight", None),
        ("mmdet", "data_preprocessor.mean", None),
        ("mmdet", "backbone.bn1.num_batches_tracked", None),
        ("mmrotate", "head.fc.weight", None),
        ("torchvision", "layer3.5.bn2.running_var", "backbone.layer3.5.bn2.running_var"),
        ("torchvision", "layer3.5.conv2_offset.weight", "backbone.layer3.5.conv2.conv_offset.weight"),
        ("torchvision", "head.classification_head.cls_logits.weight", None),
        ("torchvision", "stem.0.weight", "backbone.stem.0.weight"),
        ("torchvision", "conv1.bias", None),
        ("torchvision", "layer2.0.conv3.bias", None),
        ("torchvision", "layer1.0.downsample.0.bias", None),
        ("torchvision", "layer1.0.downsample.1.bias", "backbone.layer1.0.downsample.1.bias"),
        ("torchvision", "layer3.1.conv2.conv_offset.bias", "backbone.layer3.1.conv2.conv_offset.bias"),
        ("timm", "conv1.3.weight", "backbone.stem.3.weight"),
        ("timm", "bn1.running_mean", "backbone.stem.7.running_mean"),
        ("timm", "layer1.0.downsample.1.weight", "backbone.layer1.0.downsample.1.weight"),
        ("timm", "fc.bias", None),
        ("jdet", "teacher_model.backbone.conv1.weight", None),
        ("jdet", "backbone.fc.weight", None),
        ("swin", "layers.1.blocks.0.attn.qkv.bias", "backbone.layers.1.blocks.0.attn.qkv.bias"),
        ("swin", "patch_embed.norm.weight", "backbone.patch_embed.norm.weight"),
        ("swin", "norm1.weight", "backbone.norm1.weight"),
        ("swin", "norm.weight", None),
        ("swin", "head.bias", None),
        ("swin", "layers.1.blocks.0.attn.relative_position_index", None),
        ("swin", "layers.0.blocks.1.attn_mask", None),
        ("jld", "bbox_head.scales.0.scale", "bbox_head.scales.0.scale"),
    ],
)
def test_names_are_translated_or_dropped_with_a_reason(origin, name, expected):
    mapped = map_name(name, origin)
    assert mapped.name == expected
    assert bool(mapped.reason) == (expected is None)


def test_origins_are_told_apart():
    deep = {"conv1.0.weight": np.ones(1), "layer1.0.conv1.weight": np.ones(1)}
    assert detect_origin(deep) == "timm"
    swin = {"patch_embed.proj.weight": np.ones(1), "layers.0.blocks.0.attn.qkv.weight": np.ones(1)}
    assert detect_origin(swin) == "swin"
    assert detect_origin({"encoder.weight": np.ones(1)}) == "unknown"
    ours = layouts.zeros(layouts.ours(layouts.gfl(18)))
    assert detect_origin(ours) == "jdet"
    assert detect_origin(ours, {"jld_version": "0.1.0"}) == "jld"
    with pytest.raises(CheckpointError, match="did you mean 'mmdet'"):
        map_name("a", "mmdets")


def test_floats_become_float32_and_scalars_meet():
    state = {
        "a": np.ones(2, np.float16),
        "b": np.ones(2),
        "c": np.array(2.0),
        "d": np.ones((1,)),
        "e": np.arange(3),
    }
    target = {"a": (2,), "b": (2,), "c": (1,), "d": (), "e": (3,)}
    converted, report = convert_state(state, target, "unknown")
    assert report.is_complete
    assert {name: (values.dtype.name, values.shape) for name, values in converted.items()} == {
        "a": ("float32", (2,)),
        "b": ("float32", (2,)),
        "c": ("float32", (1,)),
        "d": ("float32", ()),
        "e": ("int64", (3,)),
    }


def test_supports_are_compared():
    layout = layouts.rotated_retina(18, has_distribution=True)
    state, target = layouts.zeros(layout), layouts.ours(layout)
    other = layouts.supports(layout) | {"bbox_head.integral_angle.project": np.linspace(-2, 2, 9)}
    _, report = convert_state(state, target, options=ConvertOptions(supports=other))
    assert "9 bins from -5 to 2, the model integrates over 9 bins from -2 to 2" in message_of(report)
    _, report = convert_state(state, target)
    assert report.is_complete and "not compared" in report.dropped["bbox_head.integral_angle.project"]
    broken = layouts.zeros(layouts.gfl(18)) | {"bbox_head.integral.project": np.arange(17.0) ** 2}
    _, report = convert_state(broken, layouts.ours(layouts.gfl(18)))
    assert "17 bins from 0 to 256" in message_of(report)


def converted(file_layout, model_layout) -> Report:
    return convert_state(layouts.zeros(file_layout), layouts.ours(model_layout))[1]


@pytest.mark.parametrize(
    ("file_layout", "model_layout", "expected"),
    [
        (layouts.gfl(18), layouts.gfl(18, 20), "this file has 80 classes, the model 20"),
        (layouts.gfl(101), layouts.gfl(50), "its backbone has 101 layers and the model's 50"),
        (layouts.gfl(18), layouts.gfl(34), "its backbone has 18 layers and the model's 34"),
        (layouts.gfl(50), layouts.gfl(34), "its backbone has 50 layers and the model's 34"),
        (
            layouts.gfl(18, num_bins=9),
            layouts.gfl(18),
            "gfl_reg predicts 36 numbers per cell in the file and 68",
        ),
        (
            layouts.rotated_retina(18, has_distribution=False),
            layouts.rotated_retina(18, has_distribution=True),
            "retina_reg predicts 45 numbers per cell in the file and 405 in the model",
        ),
        (layouts.resnet(18, ""), layouts.gfl(18), "a backbone only"),
        ({"encoder.weight": (2,)}, layouts.gfl(18), "no name is shared (the file has encoder.weight"),
        (layouts.gfl(18), layouts.rotated_retina(18, has_distribution=False), "has shape|it lacks"),
    ],
)
def test_the_likeliest_reason_is_given(file_layout, model_layout, expected):
    message = message_of(converted(file_layout, model_layout))
    assert any(part in message for part in expected.split("|")), message


def test_retina_classes_are_counted_per_anchor():
    layout = layouts.rotated_retina(18, has_distribution=False)
    model = layout | layouts.conv("bbox_head.retina_cls", (9, 256, 3, 3))
    assert "this file has 15 classes, the model 1;" in message_of(converted(layout, model))


def test_atss_named_retina_classes_are_counted_per_anchor():
    base = {
        "backbone.conv1.weight": (4, 3, 7, 7),
        "neck.a.weight": (1,),
        **layouts.conv("bbox_head.atss_reg", (612, 8, 3, 3)),
    }
    file_layout = base | layouts.conv("bbox_head.atss_cls", (720, 8, 3, 3))
    model = base | layouts.conv("bbox_head.atss_cls", (180, 8, 3, 3))
    assert "this file has 80 classes, the model 20;" in message_of(converted(file_layout, model))


def test_offset_channels_tell_the_version():
    name = "backbone.layer2.0.conv2.conv_offset.weight"
    extra = {name: (27, 128, 3, 3)}
    _, report = convert_state(
        layouts.zeros(layouts.gfl(18) | extra), layouts.ours(layouts.gfl(18)) | {name: (18, 128, 3, 3)}
    )
    assert "version 2" in message_of(report)


def test_caffe_conversions_carry_biases_that_nothing_reads():
    """mmDetection's `detectron/resnet50_caffe` has one at every convolution, `detectron2/` in the stem."""
    plain = layouts.resnet(50, "")
    biases = {
        f"{name.removesuffix('weight')}bias": shape[:1] for name, shape in plain.items() if len(shape) == 4
    }
    target = layouts.ours(layouts.resnet(50))
    for extra in (biases, {"conv1.bias": (64,)}):
        values, report = convert_state(layouts.zeros(plain | extra), target)
        assert report.is_complete and set(values) == set(target)
        assert list(report.dropped.values()).count("bias before a normalisation") == len(extra)


def test_a_deep_stem_is_named():
    deep = layouts.resnet(50, "")
    del deep["conv1.weight"]
    deep = {name: shape for name, shape in deep.items() if not name.startswith("bn1.")}
    deep |= {f"stem.{index}.weight": (32, 3, 3, 3) for index in (0, 3, 6)}
    report = converted(deep, layouts.resnet(50))
    assert report.origin == "torchvision"
    assert "stem of three convolutions" in message_of(report)


def test_partial_loading_is_a_choice_but_nothing_is_not():
    report = converted(layouts.resnet(18, ""), layouts.gfl(18))
    require_complete(report, "the student", "r18.pth", strict=False)
    with pytest.raises(CheckpointError, match="no name is shared"):
        require_complete(converted({"x": (1,)}, layouts.gfl(18)), "the student", "r18.pth", strict=False)


def test_only_a_part_may_be_asked_for():
    state = layouts.zeros(layouts.gfl(18))
    values, report = convert_state(
        state, layouts.ours(layouts.gfl(18, 20)), options=ConvertOptions(only="backbone.")
    )
    assert report.is_complete
    assert set(values) == set(layouts.ours(layouts.resnet(18)))
    assert report.dropped["bbox_head.gfl_cls.weight"] == "only backbone.* is wanted"


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e300])
def test_weights_that_are_no_numbers_are_refused_in_part_too(broken):
    state = layouts.zeros(layouts.gfl(18))
    state["bbox_head.gfl_cls.bias"] = np.full(80, broken)
    with np.errstate(over="ignore"):
        _, report = convert_state(state, layouts.ours(layouts.gfl(18)), "mmdet")
    for strict in (True, False):
        with pytest.raises(CheckpointError, match=r"gfl_cls\.bias holds values that are not finite"):
            require_complete(report, "the student", "r18.pth", strict)
    assert "not finite         1" in report.text()


def test_the_report_reads_as_a_table():
    text = converted(layouts.gfl(18), layouts.gfl(18, 20)).text()
    lines = text.splitlines()
    assert lines[0] == "names as in mmdet"
    counts = {line[:16].strip(): int(line[16:22]) for line in lines if line[:2] == "  " and line[2] != " "}
    assert counts == {
        "loaded": 147,
        "adapted": 5,
        "dropped": 21,
        "missing": 0,
        "unexpected": 0,
        "wrong shape": 2,
        "wrong support": 0,
    }
    assert "bbox_head.gfl_cls.bias: file [80], model [20]" in text
    assert "20 x counter of batch normalisation" in text


def test_a_long_list_is_cut():
    text = converted(layouts.resnet(18, ""), layouts.gfl(18)).text()
    assert "... and" in text and text.count("neck.") + text.count("bbox_head.") == 5


def test_files_are_converted_without_and_with_a_model(tmp_path):
    state = {
        "backbone.conv1.weight": np.ones((4, 3, 7, 7), np.float32),
        "bbox_head.retina_cls.weight": np.ones((9, 4, 1, 1), np.float32),
        "bbox_head.retina_cls.bias": np.ones(9, np.float32),
    }
    source = tmp_path / "jdet.pth"
    write_torch(source, state, {"jdet_version": "0.2", "classes": ["ship"]})
    report = convert_file(source, tmp_path / "a.safetensors")
    assert report.is_complete
    checkpoint = read_checkpoint(tmp_path / "a.safetensors")
    assert checkpoint.state["bbox_head.retina_cls.weight"].shape == (9, 4, 3, 3)
    assert checkpoint.classes == ("ship",)
    shapes = {"backbone.conv1.weight": (4, 3, 7, 7)}
    with pytest.raises(CheckpointError, match=r"it has besides bbox_head"):
        convert_file(source, tmp_path / "b.safetensors", shapes)
    assert not (tmp_path / "b.safetensors").exists()
    convert_file(source, tmp_path / "b.safetensors", shapes, strict=False)
    assert set(read_checkpoint(tmp_path / "b.safetensors").state) == set(shapes)


def test_the_memory_of_a_training_may_be_missing_or_left_over():
    """RetinaNet's moving average is saved with the weights; nobody has to have it."""
    weight, memory = (
        {"bbox_head.retina_cls.weight": np.ones((2, 3))},
        {"bbox_head.loss_normalizer": np.ones(1)},
    )
    shapes = {name: values.shape for name, values in (weight | memory).items()}
    converted, report = convert_state(weight | memory, shapes, "jld")
    assert report.is_complete and set(converted) == set(shapes)
    converted, report = convert_state(weight, shapes, "jld")
    assert report.is_complete and set(converted) == set(weight)
    converted, report = convert_state(weight | memory, {"bbox_head.retina_cls.weight": (2, 3)}, "jld")
    assert report.is_complete and "moving average" in report.dropped["bbox_head.loss_normalizer"]
    assert set(to_mmdet(weight | memory)) == set(weight)
