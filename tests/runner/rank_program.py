"""What each rank of a test's `mpirun` does with the collective functions; prints what rank 0 saw as JSON."""

import json
import sys

import numpy as np

from jld.boxes.detections import Detections
from jld.errors import ConfigError
from jld.models.layers import BatchNorm
from jld.runner.history import LossHistory
from jld.runner.ranks import from_main, gather_detections, require_agreement, sum_over_ranks
from jld.toolchain import jittor as jt
from jld.utils.distributed import average_gradients, is_main, mean_over_ranks, rank, world_size

IMAGE_IDS = ["b", 7, "a", "c"]
NUM_IMAGES = 4


def detections_of(image_id):
    """Arrays that follow from the image; the second image has none."""
    rng = np.random.default_rng(IMAGE_IDS.index(image_id))
    count = 0 if image_id == 7 else 3
    return Detections(
        image_id,
        boxes=rng.random((count, 4)).astype(np.float32),
        scores=rng.random(count),
        labels=rng.integers(0, 9, count),
        masks=[{"size": [4, 5], "counts": f"{image_id}{k}"} for k in range(count)],
    )


def normalised_gradients(images):
    """[loss, gradients ...] of batch normalisation and of a loss with a normaliser of the whole batch."""
    layer = BatchNorm(3, fixed_statistics=False)
    weight = jt.array(np.array([0.5, -1.0, 2.0], np.float32))
    y = (layer(jt.array(images)) * weight.broadcast(images.shape, [0, 2, 3])).sqr()
    count = (jt.array(images) > 0.4).float32().sum().stop_grad()
    loss = (y * jt.array(images)).sum() / mean_over_ranks(count)
    # The same Var twice: gradients that share memory must not be reduced twice.
    gradient, bias = jt.grad(loss, [weight, layer.bias])
    averaged = average_gradients([gradient, bias, gradient])
    return [mean_over_ranks(loss), *averaged, layer.running_var]


def images():
    """[4, 3, 2, 2] in no particular relation to each other."""
    return np.random.default_rng(0).random((NUM_IMAGES, 3, 2, 2)).astype(np.float32)


def main():
    """Everything once, in the order that all ranks share."""
    share = NUM_IMAGES // world_size()
    own = images()[rank() * share : (rank() + 1) * share]
    numbers = [value.numpy().ravel().tolist() for value in normalised_gradients(own)]
    # Rank 1 has seen the last image alone, rank 0 the others in another order.
    seen = IMAGE_IDS[3:] if rank() else [IMAGE_IDS[2], *IMAGE_IDS[:2]]
    gathered = gather_detections([detections_of(image_id) for image_id in seen], IMAGE_IDS)
    nothing = gather_detections([], IMAGE_IDS)
    history = LossHistory()
    history.add(1, {"loss_a": jt.array([1.0 + rank()])}, [])
    history.fetch()
    history.add(2, {"loss_a": jt.array([5.0 + rank()])}, [])
    history.fetch()
    said = from_main("größer" if is_main() else "another")
    try:
        require_agreement(f"epoch {rank()}", "position")
        refused = 0
    except ConfigError:
        refused = 1
    result = {
        "numbers": numbers,
        "gathered": [found.to_plain() for found in gathered],
        "nothing": nothing,
        "means": [record.values["loss_a"] for record in history.records],
        "said": said,
        "refused": sum_over_ranks(np.array([refused], np.int32)).tolist(),
        "empty_elsewhere": int(sum_over_ranks(np.array([len(gathered)], np.int32))[0]),
    }
    if is_main():
        print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
