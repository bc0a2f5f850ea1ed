"""Faster R-CNN and Mask R-CNN as torchvision writes them: its names, old and new, and its first class."""

import numpy as np
import pytest

from jld.checkpoint import ConvertOptions, convert_state, detect_origin
from tests.checkpoint import layouts

NUM_CLASSES, WIDTH = 3, 5
# {ours: (new name, name of the published files)}
LAYERS = {
    "neck.lateral_convs.1.conv": ("backbone.fpn.inner_blocks.1.0", "backbone.fpn.inner_blocks.1"),
    "neck.fpn_convs.3.conv": ("backbone.fpn.layer_blocks.3.0", "backbone.fpn.layer_blocks.3"),
    "rpn_head.rpn_conv": ("rpn.head.conv.0.0", "rpn.head.conv"),
    "rpn_head.rpn_cls": ("rpn.head.cls_logits",) * 2,
    "rpn_head.rpn_reg": ("rpn.head.bbox_pred",) * 2,
    "roi_head.bbox_head.shared_fcs.0": ("roi_heads.box_head.fc6",) * 2,
    "roi_head.bbox_head.shared_fcs.1": ("roi_heads.box_head.fc7",) * 2,
    "roi_head.mask_head.convs.2.conv": ("roi_heads.mask_head.2.0", "roi_heads.mask_head.mask_fcn3"),
    "roi_head.mask_head.upsample": ("roi_heads.mask_predictor.conv5_mask",) * 2,
}
# {ours: (theirs, rows of a class)}
CLASSES = {
    "roi_head.bbox_head.fc_cls": ("roi_heads.box_predictor.cls_score", 1),
    "roi_head.bbox_head.fc_reg": ("roi_heads.box_predictor.bbox_pred", 4),
    "roi_head.mask_head.conv_logits": ("roi_heads.mask_predictor.mask_fcn_logits", 1),
}


def theirs(spelling):
    """A file that has the layers above, each with values of its own."""
    state = {"backbone.body.conv1.weight": np.ones((4, 3, 7, 7), np.float32)}
    for number, names in enumerate(LAYERS.values(), 2):
        state[f"{names[spelling]}.bias"] = np.full(WIDTH, number, np.float32)
    for name, rows in CLASSES.values():
        state[f"{name}.bias"] = np.arange((NUM_CLASSES + 1) * rows, dtype=np.float32)
    return state


@pytest.mark.parametrize("spelling", [0, 1], ids=["now", "published"])
def test_a_detector_is_read_whole_and_its_background_goes_behind_the_classes(spelling):
    state = theirs(spelling)
    assert detect_origin(state) == "torchvision"
    shapes = {"backbone.conv1.weight": (4, 3, 7, 7)} | {f"{name}.bias": (WIDTH,) for name in LAYERS}
    head = "roi_head.bbox_head"
    shapes |= {f"{head}.fc_cls.bias": (NUM_CLASSES + 1,), f"{head}.fc_reg.bias": (4 * NUM_CLASSES,)}
    shapes["roi_head.mask_head.conv_logits.bias"] = (NUM_CLASSES,)
    converted, report = convert_state(state, shapes)
    assert report.is_complete and set(converted) == set(shapes) and not report.dropped
    assert [converted[f"{name}.bias"][0] for name in LAYERS] == [*range(2, 2 + len(LAYERS))]
    assert converted[f"{head}.fc_cls.bias"].tolist() == [1, 2, 3, 0]
    assert converted[f"{head}.fc_reg.bias"].tolist() == [*range(4, 16)]
    assert converted["roi_head.mask_head.conv_logits.bias"].tolist() == [1, 2, 3]
    assert "3 x background, torchvision's first class, is the last" in report.text()


def test_heads_of_other_kinds_are_left_out():
    target = layouts.ours(layouts.resnet(18))
    state = {
        name.replace("backbone.", "backbone.body."): value for name, value in layouts.zeros(target).items()
    }
    state |= {
        "head.classification_head.cls_logits.bias": np.ones(9),
        "backbone.fpn.extra_blocks.p6.bias": np.ones(4),
    }
    converted, report = convert_state(state, target)
    assert report.is_complete and set(report.dropped.values()) == {
        "torchvision's own neck or head, built unlike ours"
    }
    faster = theirs(0) | state
    converted, report = convert_state(faster, target, options=ConvertOptions(only="backbone."))
    assert report.is_complete and set(converted) == set(target)
