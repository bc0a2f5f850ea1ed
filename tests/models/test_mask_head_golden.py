"""MaskHead against mmDetection: masks of given crops, their loss and its gradients."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.models import assign_state
from jld.models.trace import Stage
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill, param_cases
from tests.models.golden_models import assert_sampled, generated
from tests.models.golden_two_stage import assert_parameters, known_keys, mask_head_config, unpacked

# Targets and pasting have tests of their own; here the stored targets are read.
KEYS = (
    r"in/.+",
    r"chk/.+",
    r"out/(paste|sample)/.+",
    r"out/(rois|labels)",
    r"out/tgt/(bitmap|polygon|fragile_bitmap|bitmap_soft/(norm|sample))",
    r"out/mask_pred/(norm|sample)",
    r"loss/(loss_mask|total)",
    r"loss/given/(bitmap|polygon)/loss_mask",
    r"grad_norms",
    r"grad/[\w.]+/(norm|sample)",
    r"grad/given/(bitmap|polygon)/mask_pred/(norm|sample)",
)


def make_head(meta):
    head = build(mask_head_config(meta["head"]))
    if "params" in meta:
        assign_state(head, fill.state_dict(meta, "model"), what="golden weights")
    return head


def stage_of_rois(head, mask_logits, labels):
    """A stage of one image whose RoIs are all positive."""
    ones = jt.ones((1, len(labels)))
    assignment = SimpleNamespace(labels=jt.array(labels[None]), positive_mask=ones, label_weights=ones)
    return Stage({"mask_logits": mask_logits}, None, head, assignment)


def targets_of_kind(meta, arrays, kind):
    """[1, R, S, S] the stored targets, `bitmap` or `polygon`."""
    return jt.array(unpacked(meta, arrays, f"out/tgt/{kind}")[None].astype(np.float32))


@pytest.mark.golden
@pytest.mark.parametrize("name", [n for n in param_cases("t_mask_head_*") if not str(n).endswith("nopos")])
def test_masks_loss_and_gradients_equal_golden(name):
    meta, arrays = case(name)
    known_keys(arrays, *KEYS)
    head, labels = make_head(meta), arrays["out/labels"].astype(np.int32)
    crops = generated(meta, "roi_feats")
    predictions = head(crops, 1)
    found = predictions["mask_logits"].numpy()[0]
    assert_sampled(meta, arrays, "out/mask_pred", found, 1e-4)
    assert head.interface_on(None).shapes["mask_logits"] == found.shape[1:]
    loss = head.losses(
        stage_of_rois(head, predictions["mask_logits"], labels), targets_of_kind(meta, arrays, "bitmap")
    )
    np.testing.assert_allclose(loss["loss_mask"].item(), arrays["loss/loss_mask"], rtol=1e-4)
    np.testing.assert_allclose(loss["loss_mask"].item(), arrays["loss/total"], rtol=1e-4)
    assert_parameters(meta, arrays, head, loss["loss_mask"])
    assert_sampled(meta, arrays, "grad/roi_feats", jt.grad(loss["loss_mask"], crops).numpy(), 2e-3)
    given = generated(meta, "given/mask_pred").unsqueeze(0)
    for kind in ("bitmap", "polygon"):
        if f"loss/given/{kind}/loss_mask" not in arrays:
            continue
        loss = head.losses(stage_of_rois(head, given, labels), targets_of_kind(meta, arrays, kind))[
            "loss_mask"
        ]
        np.testing.assert_allclose(loss.item(), arrays[f"loss/given/{kind}/loss_mask"].item(), rtol=1e-4)
        gradient = jt.grad(loss, given).numpy()[0]
        assert_sampled(meta, arrays, f"grad/given/{kind}/mask_pred", gradient, 1e-4)


@pytest.mark.golden
def test_without_positives_the_loss_is_zero_and_has_a_gradient():
    meta, arrays = case("t_mask_head_nopos")
    known_keys(arrays, *KEYS)
    assert not len(arrays["out/labels"]) and arrays["loss/given/bitmap/loss_mask"] == 0
    head, none = make_head(meta), jt.zeros((1, 2))
    background = jt.full((1, 2), head.num_classes).int32()
    assignment = SimpleNamespace(labels=background, positive_mask=none, label_weights=none)
    crops = jt.ones((2, meta["head"]["in_channels"], 14, 14))
    stage = Stage(head(crops, 1), None, head, assignment)
    loss = head.losses(stage, jt.zeros((1, 2, 28, 28)))["loss_mask"]
    assert loss.item() == 0 and not jt.grad(loss, crops).numpy().any()
    with pytest.raises(ValueError, match="stage 'roi'"):
        stage.boxes()
