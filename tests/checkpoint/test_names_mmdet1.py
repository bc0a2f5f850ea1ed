"""Two-stage files of mmDetection 1.x, whose class 0 is the background."""

import numpy as np
import pytest

from jld.checkpoint import convert_state, detect_origin
from jld.errors import CheckpointError

NUM_CLASSES, WIDTH = 3, 5
COMMON = {"backbone.conv1.weight": (4, 3, 7, 7), "rpn_head.rpn_cls.weight": (3, 6, 1, 1)}


def arrays(shapes):
    return {
        name: np.arange(np.prod(shape), dtype=np.float32).reshape(shape) for name, shape in shapes.items()
    }


def old_file(prefix=""):
    """The layers of a file that know the classes, one of them of masks."""
    both = NUM_CLASSES + 1
    shapes = {
        f"{prefix}bbox_head.shared_fcs.0.weight": (WIDTH, 7),
        f"{prefix}bbox_head.fc_cls.weight": (both, WIDTH),
        f"{prefix}bbox_head.fc_cls.bias": (both,),
        f"{prefix}bbox_head.fc_reg.weight": (4 * both, WIDTH),
        f"{prefix}bbox_head.fc_reg.bias": (4 * both,),
        f"{prefix}mask_head.conv_logits.weight": (both, WIDTH, 1, 1),
    }
    return arrays(COMMON | shapes)


TARGETS = COMMON | {
    "roi_head.bbox_head.shared_fcs.0.weight": (WIDTH, 7),
    "roi_head.bbox_head.fc_cls.weight": (NUM_CLASSES + 1, WIDTH),
    "roi_head.bbox_head.fc_cls.bias": (NUM_CLASSES + 1,),
    "roi_head.bbox_head.fc_reg.weight": (4 * NUM_CLASSES, WIDTH),
    "roi_head.bbox_head.fc_reg.bias": (4 * NUM_CLASSES,),
    "roi_head.mask_head.conv_logits.weight": (NUM_CLASSES, WIDTH, 1, 1),
}


@pytest.mark.parametrize("prefix", ["", "roi_head."], ids=["as saved", "renamed"])
def test_the_background_goes_behind_the_classes(prefix):
    state = old_file(prefix)
    assert detect_origin(state) == "mmdet1"
    converted, report = convert_state(state, TARGETS)
    assert report.is_complete and set(converted) == set(TARGETS)
    for layer, order in (("fc_cls.bias", [1, 2, 3, 0]), ("fc_reg.bias", range(4, 16))):
        np.testing.assert_array_equal(converted[f"roi_head.bbox_head.{layer}"], np.float32(list(order)))
    masks = state[f"{prefix}mask_head.conv_logits.weight"]
    np.testing.assert_array_equal(converted["roi_head.mask_head.conv_logits.weight"], masks[1:])
    np.testing.assert_array_equal(
        converted["roi_head.bbox_head.shared_fcs.0.weight"],
        state[f"{prefix}bbox_head.shared_fcs.0.weight"],
    )
    assert "5 x background, the first class in mmDetection 1.x, is the last" in report.text()


def test_one_box_for_all_classes_stays():
    state = old_file()
    state["bbox_head.fc_reg.bias"] = np.ones(4, np.float32)
    converted, _ = convert_state(state, TARGETS | {"roi_head.bbox_head.fc_reg.bias": (4,)})
    np.testing.assert_array_equal(converted["roi_head.bbox_head.fc_reg.bias"], np.ones(4))


def test_files_of_mmdetection_2_and_one_stage_files_are_left_alone():
    new = arrays(TARGETS)
    assert detect_origin(new) == "mmdet"
    converted, report = convert_state(new, TARGETS)
    np.testing.assert_array_equal(converted["roi_head.bbox_head.fc_cls.bias"], np.arange(4))
    assert not report.adapted
    retina = arrays({"backbone.conv1.weight": (4, 3, 7, 7), "bbox_head.retina_cls.weight": (9, 4, 3, 3)})
    assert detect_origin(retina) != "mmdet1"
    with pytest.raises(CheckpointError, match="Unknown checkpoint origin"):
        convert_state(new, TARGETS, "mmdet3")
