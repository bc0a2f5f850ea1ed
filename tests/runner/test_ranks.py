"""The functions by which ranks speak to each other, in two ranks of an `mpirun` and in one process."""

import json

import numpy as np
import pytest

from jld.runner import ranks
from tests.mpi import ROOT, needs_mpi, run_ranks
from tests.runner import rank_program


@pytest.fixture(scope="module")
def two_ranks():
    done = run_ranks(2, ROOT / "tests" / "runner" / "rank_program.py")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@needs_mpi
def test_gradients_and_normalisers_are_those_of_the_whole_batch(two_ranks):
    whole = rank_program.normalised_gradients(rank_program.images())
    for ours, expected in zip(two_ranks["numbers"], whole, strict=True):
        np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-5, atol=1e-6)


@needs_mpi
def test_detections_come_together_on_rank_0(two_ranks):
    expected = [rank_program.detections_of(image_id) for image_id in rank_program.IMAGE_IDS]
    assert len(two_ranks["gathered"]) == two_ranks["empty_elsewhere"] == 4
    for ours, record in zip(two_ranks["gathered"], expected, strict=True):
        assert ours == record.to_plain()
    assert two_ranks["nothing"] == []


@needs_mpi
def test_losses_are_means_over_the_ranks_and_are_averaged_once(two_ranks):
    assert two_ranks["means"] == [1.5, 5.5]


@needs_mpi
def test_rank_0_is_heard_and_who_differs_is_stopped(two_ranks):
    assert two_ranks["said"] == "größer"
    assert two_ranks["refused"] == [1]


def test_packed_detections_keep_their_types():
    records = [rank_program.detections_of(image_id) for image_id in rank_program.IMAGE_IDS]
    unpacked = ranks._unpack(ranks._pack(records, rank_program.IMAGE_IDS), rank_program.IMAGE_IDS)
    for index, record in enumerate(records):
        assert unpacked[index].to_plain() == record.to_plain()
        assert unpacked[index].boxes.dtype == np.float32 and unpacked[index].boxes.shape == record.boxes.shape
    assert ranks._unpack(ranks._pack([], rank_program.IMAGE_IDS), rank_program.IMAGE_IDS) == {}


def test_one_process_speaks_to_nobody():
    array, records = np.ones(2), [{"img_id": 3}]
    assert ranks.sum_over_ranks(array) is array
    assert ranks.from_main("x") == "x"
    assert ranks.gather_detections(records, [3]) is records
    ranks.require_agreement("epoch 1", "position")
