"""Files of other classes: all but the class layer, or the classes of the same names."""

import numpy as np
import pytest

from jld.checkpoint import ConvertOptions, convert_state, require_complete
from jld.errors import CheckpointError

FILE, MODEL = ("cat", "dog", "bus"), ("bus", "ship", "cat", "tree")


def states(anchors, layer="retina_cls", kernel=3):
    """(file, initial values of the model): row a * C + c of the file is 10 a + c, of the model -1."""
    rows = np.array([10 * a + c for a in range(anchors) for c in range(3)], np.float32)
    weight = np.broadcast_to(rows[:, None, None, None], (len(rows), 2, kernel, kernel)).copy()
    file = {
        "backbone.x": np.ones(1, np.float32),
        f"bbox_head.{layer}.weight": weight,
        f"bbox_head.{layer}.bias": rows,
    }
    initial = {
        f"bbox_head.{layer}.weight": np.full((anchors * 4, 2, 3, 3), -1, np.float32),
        f"bbox_head.{layer}.bias": np.full(anchors * 4, -1, np.float32),
    }
    shapes = {name: values.shape for name, values in initial.items()} | {"backbone.x": (1,)}
    return file, initial, shapes


def options(choice, initial, file_classes=FILE, model_classes=MODEL):
    return ConvertOptions(
        class_layer=choice, initial=initial, file_classes=file_classes, model_classes=model_classes
    )


@pytest.mark.parametrize("anchors", [1, 9])
@pytest.mark.parametrize("layer", ["gfl_cls", "atss_cls", "retina_cls", "conv_cls"])
def test_classes_are_found_by_their_names(anchors, layer):
    file, initial, shapes = states(anchors, layer)
    converted, report = convert_state(file, shapes, "mmdet", options("by_name", initial))
    expected = [value for a in range(anchors) for value in (10 * a + 2, -1, 10 * a, -1)]
    assert converted[f"bbox_head.{layer}.bias"].tolist() == expected
    assert converted[f"bbox_head.{layer}.weight"][:, 1, 2, 0].tolist() == expected
    assert report.is_complete and "2 of 4 classes" in report.text()


def test_pointwise_kernels_are_found_by_names_as_well():
    file, initial, shapes = states(9, kernel=1)
    converted, _ = convert_state(file, shapes, "jdet", options("by_name", initial))
    weight = converted["bbox_head.retina_cls.weight"]
    assert weight[0, 0].tolist() == [[0, 0, 0], [0, 2, 0], [0, 0, 0]]


def test_everything_but_the_class_layer():
    file, initial, shapes = states(1)
    converted, report = convert_state(file, shapes, "mmdet", options("leave_out", initial))
    assert set(converted) == {"backbone.x"} and report.is_complete
    assert set(report.dropped.values()) == {"class layer, left out as asked"}


@pytest.mark.parametrize(
    ("file_classes", "model_classes", "said"),
    [
        ((), MODEL, "the file does not name its classes"),
        (FILE, (), "the model does not name its classes"),
        (("x", "y", "z"), MODEL, "share no name"),
    ],
)
def test_names_that_are_not_there_are_an_error(file_classes, model_classes, said):
    file, initial, shapes = states(1)
    with pytest.raises(CheckpointError, match=said):
        convert_state(file, shapes, "mmdet", options("by_name", initial, file_classes, model_classes))


def test_layers_that_do_not_go_together_stay_a_mismatch():
    file, initial, shapes = states(1)
    _, report = convert_state(file, shapes, "mmdet", options("by_name", initial, (*FILE, "more")))
    assert len(report.shape_mismatch) == 2


def test_the_message_of_a_mismatch_says_what_helps():
    file, _, shapes = states(1, "gfl_cls")
    _, report = convert_state(file, shapes, "mmdet")
    with pytest.raises(CheckpointError, match=r"pretrained_classes='leave_out'.*'by_name'.*--class-layer"):
        require_complete(report, "the model", "a.pth")
    with pytest.raises(CheckpointError, match="did you mean 'by_name'"):
        convert_state(file, shapes, "mmdet", ConvertOptions(class_layer="byname"))


def test_rows_of_a_second_stage_go_by_classes_too():
    """Of the classes and the background, of the boxes (four rows each) and of the masks."""
    sizes = {"bbox_head.fc_cls": (1, 1), "bbox_head.fc_reg": (4, 0), "mask_head.conv_logits": (1, 0)}
    file, initial = {}, {}
    for layer, (size, behind) in sizes.items():
        name = f"roi_head.{layer}.bias"
        file[name] = np.arange(3 * size + behind, dtype=np.float32)
        initial[name] = np.full(4 * size + behind, -1, np.float32)
    shapes = {name: values.shape for name, values in initial.items()}
    converted, report = convert_state(file, shapes, "mmdet", options("by_name", initial))
    assert report.is_complete
    found = {name.split(".")[-2]: values.tolist() for name, values in converted.items()}
    assert found["fc_cls"] == [2, -1, 0, -1, 3]
    assert found["fc_reg"] == [8, 9, 10, 11, *[-1] * 4, 0, 1, 2, 3, *[-1] * 4]
    assert found["conv_logits"] == [2, -1, 0, -1]
    agnostic = {"roi_head.bbox_head.fc_reg.bias": np.ones(4, np.float32)}
    own = {name: np.zeros(4, np.float32) for name in agnostic}
    converted, _ = convert_state(agnostic, {name: (4,) for name in own}, "mmdet", options("by_name", own))
    assert converted["roi_head.bbox_head.fc_reg.bias"].tolist() == [1, 1, 1, 1]
    converted, report = convert_state(file, shapes, "mmdet", options("leave_out", initial))
    assert not converted and report.is_complete
