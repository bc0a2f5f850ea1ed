"""GFL from image to detections against the numbers of mmDetection."""

import numpy as np
import pytest

from jld.toolchain import jittor as jt
from tests.golden_cases import case
from tests.models.golden_detections import assert_detections_match
from tests.models.golden_models import assert_sampled, batch_of, build_model, generated, whole_model_cases


@pytest.fixture(scope="module", params=whole_model_cases("out/fpn/0/norm"))
def golden(request):
    return case(request.param)


@pytest.fixture(scope="module")
def model(golden):
    return build_model(golden[0])


@pytest.fixture(scope="module")
def trace(golden, model):
    with jt.no_grad():
        return model(generated(golden[0], "img"))


def test_backbone_and_neck_equal_golden(golden, model, trace):
    meta, arrays = golden
    with jt.no_grad():
        maps = model.backbone(generated(meta, "img"))
    for level, x in enumerate(maps):
        assert_sampled(meta, arrays, f"out/backbone/{level}", x.numpy(), 1e-4)
    for level, x in enumerate(trace.features):
        assert_sampled(meta, arrays, f"out/fpn/{level}", x.numpy(), 1e-4)


def test_predictions_equal_golden(golden, trace):
    (meta, arrays), stage = golden, trace.stage()
    for key, name in (("cls_logits", "cls_score"), ("box_logits", "bbox_pred")):
        values = stage.predictions[key].numpy()
        for level, rows in enumerate(stage.places.level_slices):
            height, width = stage.places.level_sizes[level]
            found = values[:, rows].reshape(len(values), height, width, -1).transpose(0, 3, 1, 2)
            if f"out/{name}/{level}" in meta["sampled"]:
                assert_sampled(meta, arrays, f"out/{name}/{level}", found, 1e-4)
                continue
            expected = arrays[f"out/{name}/{level}"]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(stage.places.boxes.numpy()[0], arrays["out/tgt/anchors"])


def test_candidates_equal_golden(golden, model, trace):
    _, arrays = golden
    stage = trace.stage()
    scores, boxes = stage.probabilities().numpy(), stage.boxes().numpy()
    batch = batch_of(arrays, len(scores))
    for image in range(len(scores)):
        found = model.bbox_head.postprocess.select(
            scores[image], boxes[image], stage.places, batch["img_shapes"][image]
        )
        np.testing.assert_allclose(found[0], arrays[f"out/pre_nms/labels/{image}"][:, :-1], atol=1e-4)
        np.testing.assert_allclose(found[1], arrays[f"out/pre_nms/boxes/{image}"], rtol=1e-4, atol=1e-2)


def test_detections_equal_golden(golden, model, trace):
    meta, arrays = golden
    count = meta["generated"]["img"]["shape"][0]
    batch = batch_of(arrays, count)
    original = {**batch, "scale_factors": np.stack([arrays[f"in/scale_factor/{i}"] for i in range(count)])}
    for key, shapes in (("det", batch), ("det_rescale", original)):
        for image, found in enumerate(model.detect(trace, shapes)):
            assert found["img_id"] == image
            assert_detections_match(
                found, arrays[f"out/{key}/boxes/{image}"], arrays[f"out/{key}/labels/{image}"]
            )


def test_detections_with_other_settings_equal_golden(golden, trace):
    meta, arrays = golden
    if "det_pre60_cfg" not in meta:
        pytest.skip("the case has no detections with other settings")
    few = build_model({**meta, "test_cfg": meta["det_pre60_cfg"]})
    for image, found in enumerate(few.detect(trace, batch_of(arrays, meta["generated"]["img"]["shape"][0]))):
        assert_detections_match(
            found, arrays[f"out/det_pre60/boxes/{image}"], arrays[f"out/det_pre60/labels/{image}"]
        )
