"""Four steps of LGD on whole detectors, as the shipped configs run them, against the release.

Step 0: the term rests and so does the backbone; 1: the term rests; 2: everything learns; 3: the term rests
again.
"""

from pathlib import Path

import numpy as np
import pytest

from jld.apis import register_parts
from jld.checkpoint.names import detectron2
from jld.checkpoint.names.lgd import painter_part
from jld.config import fill_defaults, load_config
from jld.config.lengths import in_steps
from jld.distill import Step, build_distiller
from jld.models import assign_state, build_detector
from jld.optim import Progress
from jld.runner import parts
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.golden_cases import case, fill
from tests.models.detectron2_golden import weights_of

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    "l_full_retina": "configs/lgd/lgd_retinanet_r50_detectron2_ms_2x_coco.py",
    "l_full_fcos": "configs/lgd/lgd_fcos_r50_cvpods_ms_2x_coco.py",
}
NUM_STEPS = 4
# The golden notes: rounding grows along the iterations.
LOSS_RTOL = (5e-4, 1e-3, 3e-3, 1e-2)
NORM_RTOL = (5e-3, 1e-2, 5e-2, 5e-2)
ADAPTER = "adapter.distill.adapter."


def shortened(name, solver):
    """The shipped config with the case's four steps, rates and phases."""
    config = fill_defaults(load_config(ROOT / CONFIGS[name]))
    for role in ("student", "teacher"):
        config.optimizer[role].lr = solver[role]["BASE_LR"]
    own = solver["student"]
    config.scheduler.update(
        milestones=own["STEPS"], warmup_iters=own["WARMUP_ITERS"], warmup_ratio=own["WARMUP_FACTOR"]
    )
    stop = solver["max_iter"] - solver["post_nondistill"] + 1
    config.distill.terms[0].schedule.update(start=solver["pre_nondistill"], stop=stop)
    config = in_steps(config, NUM_STEPS)
    assert config.optimizer.student.parameter_groups[0].start == solver["pre_freeze"]
    return config


def batch_of(meta, arrays, detector):
    mean = np.float32(detector.normalisation.mean)[:, None, None]
    shapes = [arrays[f"in/img_shape/{image}"] for image in (0, 1)]
    images = np.zeros((2, 3, *np.max(shapes, 0)), np.float32)
    for image, row in enumerate(images):
        pixels = fill.generate(meta["generated"][f"image/{image}"])
        row[:, : pixels.shape[1], : pixels.shape[2]] = pixels - mean
    keys = ("gt_bboxes", "gt_labels")
    boxes, labels = ([arrays[f"in/{key}/{image}"] for image in (0, 1)] for key in keys)
    return jt.array(images), make_targets(boxes, [images.shape[2:]] * 2, labels)


def released_names(params, names):
    """{our name: the release's} of everything that learns."""
    student = detectron2.exported({name: name for name in params if not name.startswith("distill.")})
    found = {
        own: "student." + name.replace("backbone.bottom_up.", "raw_backbone.")
        for name, own in student.items()
    }
    for name in names:
        if name.startswith(ADAPTER):
            found[f"distill.loss_distill.adapter.{name.removeprefix(ADAPTER)}"] = name
        elif name.startswith("teacher."):
            (own,) = painter_part({name: np.zeros(1)})
            found[f"distill.teacher.painter.{own}"] = name
    return found


@pytest.mark.golden
@pytest.mark.parametrize("name", CONFIGS)
def test_the_phases_of_a_whole_training_equal_golden(name):
    register_parts()
    meta, arrays = case(name)
    config, weights = shortened(name, meta["solver"]), weights_of(meta, "model")
    detector = build_detector(config, pretrained=False)
    assign_state(detector, weights, what="golden weights")
    detector.train()
    distiller = build_distiller(config.distill, detector)
    params = parts.trainable_parameters(detector, distiller)
    given = {f"distill.teacher.painter.{key}": values for key, values in painter_part(weights).items()}
    for key in [key for key in weights if key.startswith(ADAPTER)]:
        given[f"distill.loss_distill.adapter.{key.removeprefix(ADAPTER)}"] = weights[key]
    own = {key for key in params if key.startswith("distill.")}
    assert own == {key for key in given if "context_proj" not in key or key in own}
    for key in own:
        params[key].assign(jt.array(given[key]))
    names = released_names(params, meta["grad_names/it0"])
    optimizers, _ = parts.build_optimizer(config, params)
    schedule = parts.build_schedule(config)
    images, targets = batch_of(meta, arrays, detector)
    start = {name: var.numpy() for name, var in params.items()}
    for index in range(NUM_STEPS):
        optimizers.follow(schedule, Progress(index, 0, by_epoch=False))
        np.testing.assert_allclose(list(optimizers.rates.values()), meta["lr"][index], rtol=1e-9)
        features = detector.features(images)
        trace = detector.predict(features, targets)
        losses = dict(detector.losses(trace, targets))
        losses |= distiller(Step(images, targets, detector, features, trace, index))
        check_losses(losses, arrays, index)
        optimizers.backward(sum(losses.values()))
        grads = optimizers.gradients.take()
        check_norms(grads, names, meta, arrays, index)
        for member in optimizers.members.values():
            member.step(grads)
        check_weights(params, start, names, meta, arrays, index)


def check_losses(losses, arrays, index):
    found = {name.replace("loss_bbox", "loss_box_reg"): value.item() for name, value in losses.items()}
    expected = {
        key.rsplit("/", 1)[1]: value.item()
        for key, value in arrays.items()
        if key.startswith(f"loss/it{index}/")
    }
    expected.pop("total")
    assert found == pytest.approx(expected, rel=LOSS_RTOL[index]), index


def check_norms(grads, names, meta, arrays, index):
    """95 of 100 norms; what cancels (see the golden notes) is small beside the largest."""
    norms = dict(zip(meta[f"grad_names/it{index}"], arrays[f"grad_norms/it{index}"], strict=True))
    floor = 1e-5 * max(norms.values())
    wrong = []
    for name, gradient in grads.items():
        norm, expected = np.linalg.norm(gradient.numpy().astype(np.float64)), norms[names[name]]
        if abs(norm - expected) > NORM_RTOL[index] * expected + floor:
            wrong.append((name, norm, expected))
    assert len(grads) == len(norms) - (0 if index else sum("raw_backbone" in name for name in norms))
    assert len(wrong) <= 0.05 * len(grads), (index, wrong[:8])


def check_weights(params, start, names, meta, arrays, index):
    """The change since the start; it is as small as 1e-6."""
    for own, name in names.items():
        key = f"param/it{index}/{name}"
        if key not in meta["sampled"]:
            continue
        picked = fill.sample_index(start[own].size, meta["sampled"][key]["k"])
        before = start[own].ravel()[picked].astype(np.float64)
        found = params[own].numpy().ravel()[picked] - before
        expected = arrays[f"{key}/sample"] - before
        if index == 0 and "raw_backbone" in name:
            np.testing.assert_array_equal(found, 0, err_msg=name)
        largest = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.05 * largest + 2e-8, err_msg=key)
