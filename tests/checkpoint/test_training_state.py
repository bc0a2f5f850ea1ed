"""Training states and atomic writing."""

from __future__ import annotations

import errno
import pickle
import random
from collections import OrderedDict

import numpy as np
import pytest

from jld.checkpoint import (
    atomic_write,
    read_checkpoint,
    read_training_state,
    write_safetensors,
    write_training_state,
)
from jld.errors import CheckpointError


def example() -> dict:
    rng = np.random.default_rng(1)
    return {
        "meta": {
            "jld_version": "0.1.0",
            "epoch": 2,
            "classes": ["a", "b"],
            "config": "{}",
            "best": {"AP": 0.5},
        },
        "model": OrderedDict(
            {"w": rng.normal(size=(3, 2)).astype(np.float32), "n": np.array(4), "e": np.zeros((0, 2))}
        ),
        "scheduler": {"base_lr": 0.1, "milestones": (8, 11)},
        "optimizer": {"momentum": [np.ones(2, np.float16), None], "lr": np.float64(0.1), 0: True},
        "rng": {"numpy": rng.bit_generator.state, "python": random.Random(0).getstate()},
        "distill": {"loss_toy.adapter.weight": np.ones((1, 2), np.float32)},
        "hooks": {"ema": {"num_updates": 3}},
        "data_position": {"epoch": 1, "batch_index": 7},
    }


def assert_equal(left: object, right: object) -> None:
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype and left.shape == right.shape
        np.testing.assert_array_equal(left, right)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_equal(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert type(left) is type(right) and len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_equal(one, other)
    else:
        assert type(left) is type(right) and left == right


def test_a_training_state_comes_back_as_it_went(tmp_path):
    path = tmp_path / "checkpoints" / "last.pkl"
    write_training_state(path, example())
    assert_equal(example(), read_training_state(path))
    assert list(path.parent.iterdir()) == [path]


def test_plain_pickle_and_our_reader_of_weights_read_it_too(tmp_path):
    path = tmp_path / "last.pkl"
    write_training_state(path, example())
    assert_equal(example(), pickle.loads(path.read_bytes()))
    checkpoint = read_checkpoint(path)
    assert checkpoint.origin == "jld"
    assert set(checkpoint.state) == {"w", "n", "e"}
    assert checkpoint.classes == ("a", "b")


def test_a_flipped_bit_is_seen(tmp_path):
    path = tmp_path / "last.pkl"
    write_training_state(path, example())
    data = bytearray(path.read_bytes())
    data[data.index(example()["model"]["w"].tobytes())] ^= 1
    path.write_bytes(data)
    for reader in (read_training_state, read_checkpoint):
        with pytest.raises(CheckpointError, match="checksum"):
            reader(path)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"model": {"w": object()}}, r"state\['model'\]\['w'\] is a builtins\.object"),
        ({"model": {"w": np.array([None])}}, r"state\['model'\]\['w'\]"),
        ({"optimizer": {"a": [1, {2}]}}, r"state\['optimizer'\]\['a'\]\[1\] is a builtins\.set"),
        ({"rng": random.Random(0)}, r"state\['rng'\] is a random\.Random"),
        ({"meta": {(1, 2): 3}}, r"state\['meta'\]"),
        ({"scheduler": lambda: 0}, "function"),
        ({"optimiser": {}}, r"unknown \['optimiser'\]"),
    ],
)
def test_what_is_not_plain_is_refused_before_writing(tmp_path, change, place):
    path = tmp_path / "last.pkl"
    with pytest.raises(CheckpointError, match=place):
        write_training_state(path, example() | change)
    assert not list(tmp_path.iterdir())


def test_a_state_must_have_meta_and_model(tmp_path):
    with pytest.raises(CheckpointError, match=r"missing \['model'\]"):
        write_training_state(tmp_path / "a.pkl", {"meta": {}})
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"w": np.ones(2)}))
    write_safetensors(tmp_path / "c.pkl", {"w": np.ones(2)}, {})
    for name in ("b.pkl", "c.pkl"):
        with pytest.raises(CheckpointError, match=f"{name}.*load it as weights"):
            read_training_state(tmp_path / name)


def fill_the_disk(stream):
    stream.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "last.pkl"
    path.write_bytes(b"old")
    with pytest.raises(CheckpointError, match=r"last\.pkl: No space left on device; \d+ MB are free in"):
        atomic_write(path, fill_the_disk)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_writer_leaves_nothing_and_is_not_hidden(tmp_path):
    def interrupted(stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "new.pkl", interrupted)
    assert not list(tmp_path.iterdir())


def test_writing_makes_the_folder_replaces_and_follows_links(tmp_path):
    path = tmp_path / "a" / "b" / ("x" * 250 + ".pkl")
    atomic_write(path, lambda stream: stream.write(b"one"))
    atomic_write(path, lambda stream: stream.write(b"two"))
    assert path.read_bytes() == b"two"
    link = tmp_path / "link.pkl"
    link.symlink_to(path)
    atomic_write(link, lambda stream: stream.write(b"three"))
    assert link.is_symlink() and path.read_bytes() == b"three"
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert path.stat().st_mode == plain.stat().st_mode


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"last\.pkl"):
        atomic_write(tmp_path / "a" / "b" / "last.pkl", lambda stream: stream.write(b"x"))


@pytest.mark.parametrize("num_bytes", [1, 7, 8, 20, 28])
def test_a_checksum_that_was_cut_off_is_seen(tmp_path, num_bytes):
    path = tmp_path / "last.pkl"
    write_training_state(path, example() | {"meta": {"jld_version": "0.1.0"}})
    path.write_bytes(path.read_bytes()[:-num_bytes])
    for reader in (read_training_state, read_checkpoint):
        with pytest.raises(CheckpointError, match="checksum is cut off"):
            reader(path)


def test_a_pickle_of_others_may_come_without_checksum(tmp_path):
    path = tmp_path / "state.pkl"
    state = example() | {"meta": {"epoch": 3}}
    path.write_bytes(pickle.dumps(state, 4))
    assert set(read_checkpoint(path).state) == set(example()["model"])
    path.write_bytes(pickle.dumps(state, 4) + b"rest")
    with pytest.raises(CheckpointError, match="checksum is cut off"):
        read_checkpoint(path)
