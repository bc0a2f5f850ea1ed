import pickle
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from jld.utils.seeds import random_state, restore_random_state, set_seed


def draw():
    return [random.random(), random.gauss(0, 1), *np.random.rand(3), np.random.normal()]  # noqa: NPY002


@pytest.fixture(autouse=True)
def leave_generators_alone():
    state = random_state()
    yield
    restore_random_state(state)


@pytest.fixture
def seeded_jittor(monkeypatch):
    """A stand-in for Jittor that notes how it was seeded, and like Jittor seeds the others too."""
    calls = []

    def set_global_seed(seed, different_seed_for_mpi=True):
        calls.append((seed, different_seed_for_mpi))
        random.seed(seed + 1)
        np.random.seed(seed + 1)  # noqa: NPY002

    jittor = SimpleNamespace(set_global_seed=set_global_seed, sync_all=lambda: None)
    monkeypatch.setitem(sys.modules, "jittor", jittor)
    return calls


def test_equal_seeds_give_equal_numbers(monkeypatch):
    monkeypatch.delitem(sys.modules, "jittor", raising=False)
    set_seed(3)
    first = draw()
    set_seed(3)
    assert draw() == first
    set_seed(4)
    assert draw() != first


def test_jittor_is_seeded_alike_on_every_rank(seeded_jittor, monkeypatch):
    set_seed(3)
    with_jittor = draw()
    monkeypatch.delitem(sys.modules, "jittor")
    set_seed(3)
    assert draw() == with_jittor
    assert seeded_jittor == [(3, False)]


def test_numbers_that_nobody_has_read_yet_do_not_come_from_the_new_seed():
    from jld.toolchain import jittor as jt

    set_seed(3)
    expected = jt.rand(4).numpy()
    waiting = jt.rand(7)
    set_seed(3)
    np.testing.assert_array_equal(jt.rand(4).numpy(), expected)
    assert waiting.shape == [7]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_the_range_is_checked(seed):
    with pytest.raises(ValueError, match=f"seed is {seed}, it must be between 0 and 4294967295"):
        set_seed(seed)


def test_the_state_is_plain_data_and_brings_the_numbers_back():
    random.gauss(0, 1)  # leaves a second value waiting, which belongs to the state
    np.random.normal()  # noqa: NPY002
    state = pickle.loads(pickle.dumps(random_state()))
    first = draw()
    restore_random_state(state)
    assert draw() == first
    leaves = [leaf for part in state.values() for leaf in part.values()]
    assert all(isinstance(leaf, int | float | str | np.ndarray | None) for leaf in leaves)
