"""The whole step (model, losses, optimizer) along a few SGD iterations, against mmDetection."""

import numpy as np
import pytest

from jld.optim import SGD
from jld.runner.history import sum_up, total_loss
from jld.runner.loop import TrainingLoop
from tests.golden_cases import case, param_cases
from tests.models.golden_models import assert_sampled, batch_of, build_model, generated

# The golden notes: rounding grows along the iterations.
RTOL = (5e-4, 5e-3, 1e-2)
WEIGHT_RTOL = 1e-3


class Batches:
    """The same batch in every iteration."""

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return 1

    def epoch(self, epoch, start=0):
        if start == 0:
            yield self.batch


@pytest.mark.golden
@pytest.mark.parametrize("name", param_cases("h_gfl_sgd*"))
def test_sgd_iterations_equal_golden(name):
    meta, arrays = case(name)
    settings = dict(meta["sgd"])
    steps = settings.pop("steps")
    # The case trains only and says nothing of inference.
    test = {"score_thr": 0.05, "max_per_img": 100, "nms": {"type": "nms", "iou_threshold": 0.6}}
    detector = build_model({"test_cfg": test, **meta})
    images = generated(meta, "img").numpy()
    batch = {**batch_of(arrays, len(images)), "images": images, "img_files": ["golden"] * len(images)}
    optimizer = SGD(dict(detector.named_parameters()), **settings)
    loop = TrainingLoop(detector, Batches(batch), optimizer, max_iter=steps)
    loop.run()
    loop.history.fetch()
    names = {key.split("/")[1] for key in arrays if key.startswith("sgd/loss_")}
    for step, record in enumerate(loop.history.records):
        assert set(record.values) == {"total_loss", *names}
        rtol = RTOL[min(step, len(RTOL) - 1)]
        np.testing.assert_allclose(record.values["total_loss"], arrays["sgd/total"][step], rtol=rtol)
        for key in names:
            np.testing.assert_allclose(
                record.values[key],
                arrays[f"sgd/{key}"][step],
                rtol=rtol,
                atol=1e-5,
                err_msg=f"{key}, step {step}",
            )
    params = dict(detector.named_parameters())
    compared = [key for key in meta["sampled"] if key.startswith("sgd/param/")]
    assert compared
    for key in compared:
        assert_sampled(meta, arrays, key, params[key.removeprefix("sgd/param/")].numpy(), WEIGHT_RTOL)


def test_lists_of_losses_are_summed_and_all_count():
    losses = sum_up({"loss_cls": [1.0, 2.0], "loss_bbox": 0.5, "imitation.tea": 9.0})
    assert losses == {"loss_cls": 3.0, "loss_bbox": 0.5, "imitation.tea": 9.0}
    assert total_loss(losses) == 12.5
