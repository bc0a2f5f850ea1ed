from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jld.data import BrokenImageError, COCODataset, Compose, DataLoader, DrawnDataset, RandomFlip, Resize
from jld.data.sampling import BatchPlan
from jld.errors import ConfigError, DataError
from jld.utils import stopping
from tests.tiny_data import write_coco


def process_ids(loader):
    """Of its workers."""
    return [process.pid for process in loader._pool._processes]


def augmented(num_images=11, **options):
    transforms = Compose([Resize([32, 48], 64, multiscale_mode="range"), RandomFlip(0.5)])
    return DrawnDataset(num_images=num_images, image_size=(40, 32), transforms=transforms, **options)


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            np.testing.assert_array_equal(value, other[key], err_msg=key)


def ids(batches):
    return [batch["img_ids"] for batch in batches]


def flat_ids(batches):
    return [image_id for batch in batches for image_id in batch["img_ids"]]


@pytest.fixture(scope="module")
def loader():
    parallel = DataLoader(augmented(), batch_size=3, num_workers=2, shuffle=True, seed=5)
    yield parallel
    parallel.close()


def test_workers_give_the_same_batches_in_the_same_order(loader):
    here = DataLoader(augmented(), batch_size=3, shuffle=True, seed=5)
    expected = list(here.epoch(4))
    assert_same(list(loader.epoch(4)), expected)
    assert len(expected) == len(loader) == 4 and [len(batch["img_ids"]) for batch in expected] == [3, 3, 3, 2]
    assert sorted(flat_ids(expected)) == list(range(11))
    assert all(batch["images"].flags.writeable for batch in loader.epoch(4))


def test_an_epoch_can_be_resumed_anywhere(loader):
    whole = list(loader.epoch(1))
    assert_same(list(loader.epoch(1, start=2)), whole[2:])
    assert list(loader.epoch(1, start=4)) == []


def test_a_left_epoch_does_not_disturb_the_next_one(loader):
    expected = list(loader.epoch(2))
    workers = process_ids(loader)
    for _ in range(3):
        next(loader.epoch(0))
    assert_same(list(loader.epoch(2)), expected)
    assert process_ids(loader) == workers


def test_seed_epoch_and_shuffle_decide_the_order():
    def order(epoch=0, **options):
        return flat_ids(DataLoader(augmented(), batch_size=4, **options).epoch(epoch))

    assert order() == order(7) == list(range(11))
    assert order(shuffle=True) == order(shuffle=True)
    assert len({tuple(order(epoch, shuffle=True, seed=seed)) for epoch in (0, 1) for seed in (0, 1)}) == 4
    assert len(order(shuffle=True, drop_last=True)) == 8


def test_augmentation_changes_with_the_epoch_but_not_with_the_batch_size():
    small, large = (DataLoader(augmented(times=2), batch_size=size) for size in (1, 22))
    batch = next(large.epoch(3))
    scales = np.concatenate([one["scale_factors"] for one in small.epoch(3)])
    np.testing.assert_array_equal(batch["scale_factors"], scales)
    assert not np.array_equal(next(large.epoch(4))["scale_factors"], scales)
    assert not np.array_equal(scales[:11], scales[11:])  # two visits of one image differ


@pytest.fixture
def broken_folder(tmp_path):
    folder, path = write_coco(tmp_path, [((60, 40), [("cat", 5, 5, 25, 30)])] * 6)
    whole = (folder / "002.png").read_bytes()
    (folder / "002.png").write_bytes(whole[: len(whole) // 2])
    (folder / "003.png").write_text("no image")
    return COCODataset(str(folder), str(path))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_broken_images_are_named_once_and_replaced_by_the_next(broken_folder, caplog, num_workers):
    loader = DataLoader(broken_folder, batch_size=6, num_workers=num_workers, shuffle=True)
    with caplog.at_level(logging.WARNING, logger="jld"):
        seen = [sorted(next(loader.epoch(epoch))["img_ids"]) for epoch in range(2)]
    loader.close()
    assert seen == [[100, 101, 104, 104, 104, 105]] * 2
    messages = sorted(record.getMessage() for record in caplog.records)
    assert len(messages) == 2
    assert "002.png cannot be used: the file ends early" in messages[0] and "another image" in messages[0]
    assert "003.png cannot be used: no image format" in messages[1]


def test_broken_images_are_left_out_of_evaluation(broken_folder):
    batches = list(DataLoader(broken_folder, batch_size=2).epoch(0))
    assert ids(batches) == [[100, 101], [104, 105]]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_broken_images_can_stop_training(broken_folder, num_workers):
    loader = DataLoader(broken_folder, batch_size=6, num_workers=num_workers, on_broken="error")
    with pytest.raises(BrokenImageError, match=r"002\.png cannot be used") as caught:
        list(loader.epoch(0))
    assert Path(caught.value.path).name == "002.png"
    loader.close()


def test_a_dataset_of_broken_images_stops(tmp_path):
    folder, path = write_coco(tmp_path, [((60, 40), [("cat", 5, 5, 25, 30)])] * 2)
    for image in folder.iterdir():
        image.unlink()
    with pytest.raises(DataError, match=r"no image of the dataset can be read.*No such file"):
        list(DataLoader(COCODataset(str(folder), str(path)), shuffle=True).epoch(0))


def test_a_killed_worker_is_reported_and_the_next_epoch_starts_new_ones(loader):
    batches = loader.epoch(0)
    next(batches)
    os.kill(process_ids(loader)[0], signal.SIGKILL)
    with pytest.raises(DataError, match=r"data worker \d+ was ended by SIGKILL"):
        for _ in range(3):
            list(loader.epoch(1))
    assert len(list(loader.epoch(1))) == 4


class FailingTransform:
    def __call__(self, sample, rng):
        raise KeyError("a mistake of the user")


def test_a_failing_transform_shows_its_traceback():
    loader = DataLoader(DrawnDataset(num_images=2, transforms=[len]), num_workers=1)
    with pytest.raises(RuntimeError, match=r"(?s)a data worker failed.*TypeError: len\(\) takes exactly one"):
        list(loader.epoch(0))
    loader.close()
    with pytest.raises(DataError, match="cannot be sent to data workers"):
        list(DataLoader(DrawnDataset(num_images=2, transforms=[lambda s, r: s]), num_workers=1).epoch(0))
    with pytest.raises(KeyError, match="a mistake"):
        list(DataLoader(DrawnDataset(num_images=2, transforms=[FailingTransform()])).epoch(0))


SCRIPT = """
import sys, time
from jld.data import DataLoader, DrawnDataset
loader = DataLoader(DrawnDataset(num_images=64), batch_size=8, num_workers=2)
batches = loader.epoch(0)
next(batches)
print(*(process.pid for process in loader._pool._processes), flush=True)
if sys.argv[1] == "wait":
    time.sleep(60)
"""


def start_script(mode):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    return process, [int(number) for number in process.stdout.readline().split()]


def assert_gone(workers):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{worker}/cmdline").exists() and is_running(worker) for worker in workers):
            return
        time.sleep(0.05)
    pytest.fail(f"workers {workers} outlived their parent")


def is_running(worker):
    try:
        return Path(f"/proc/{worker}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize("ending", ["return", "interrupt", "kill"])
def test_no_worker_outlives_its_parent(ending):
    process, workers = start_script("return" if ending == "return" else "wait")
    assert len(workers) == 2
    if ending == "interrupt":
        os.killpg(process.pid, signal.SIGINT)
    elif ending == "kill":
        process.kill()
    _, errors = process.communicate(timeout=20)
    assert_gone(workers)
    assert errors.count("KeyboardInterrupt") == (1 if ending == "interrupt" else 0)


def test_workers_start_without_jittor():
    code = "import sys, jld.data; sys.exit('jittor' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode
        == 0
    )


class Sizes:
    """Only what grouping asks for."""

    def __init__(self, wide, tall):
        self.wide, self.tall = wide, tall

    def __len__(self):
        return self.wide + self.tall

    def image_sizes(self):
        return np.array([[40, 60]] * self.wide + [[50, 50]] * self.tall)


def test_grouped_batches_hold_one_aspect_ratio():
    loader = DataLoader(Sizes(10, 7), batch_size=4, shuffle=True, seed=3, group_by_aspect_ratio=True)
    batches = loader.plan.epoch(0)
    assert len(batches) == len(loader) == 5  # 3 wide ones, 2 others, each group filled up
    assert all(len({index < 10 for index in batch}) == 1 and len(batch) == 4 for batch in batches)
    assert set(np.concatenate(batches).tolist()) == set(range(17))
    kinds = {tuple(batch[0] < 10 for batch in loader.plan.epoch(epoch)) for epoch in range(8)}
    assert len(kinds) > 1  # the groups are mixed within an epoch
    np.testing.assert_array_equal(batches, loader.plan.epoch(0))
    dropped = DataLoader(Sizes(10, 7), batch_size=4, shuffle=True, drop_last=True, group_by_aspect_ratio=True)
    assert len(dropped) == 3 and len(set(np.concatenate(dropped.plan.epoch(0)).tolist())) == 12


@pytest.mark.parametrize("count, batch_size, world", [(10, 3, 2), (7, 2, 4), (1, 1, 3), (12, 4, 3)])
def test_evaluation_shards_lose_and_repeat_nothing(count, batch_size, world):
    loader = DataLoader(augmented(count), batch_size=batch_size)
    shards = [loader.shard(rank, world, split_batches=False) for rank in range(world)]
    parts = [np.concatenate([*shard.plan.epoch(0), []]) for shard in shards]
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    assert [len(shard) for shard in shards] == [len(shard.plan.epoch(0)) for shard in shards]


@pytest.mark.parametrize("options", [{}, {"drop_last": True}, {"group_by_aspect_ratio": True}])
def test_training_shards_are_equal_parts_of_the_same_batches(options):
    loader = DataLoader(Sizes(10, 7), batch_size=6, shuffle=True, **options)
    shards = [loader.shard(rank, 3, split_batches=True).plan.epoch(2) for rank in range(3)]
    assert len({len(shard) for shard in shards}) == 1
    for whole, *parts in zip(loader.plan.epoch(2), *shards, strict=True):
        assert len({len(part) for part in parts}) == 1
        joined = np.concatenate(parts)
        np.testing.assert_array_equal(joined[: len(whole)], whole)
        assert len(joined) - len(whole) == -len(whole) % 3
    with pytest.raises(ConfigError, match="batch_size 6 cannot be divided over 4 processes"):
        loader.shard(0, 4, split_batches=True)


def test_impossible_plans_are_refused():
    with pytest.raises(ConfigError, match="batch_size is 0"):
        BatchPlan(5, 0)
    with pytest.raises(DataError, match="5 images for batch_size 8"):
        BatchPlan(5, 8, drop_last=True)
    with pytest.raises(ConfigError, match="needs shuffle=True"):
        DataLoader(Sizes(3, 3), group_by_aspect_ratio=True)
    with pytest.raises(ConfigError, match="did you mean 'replace'"):
        DataLoader(augmented(), on_broken="replaced")
    with pytest.raises(ConfigError, match="num_workers is -1"):
        DataLoader(augmented(), num_workers=-1)


@pytest.fixture
def short_waits(monkeypatch):
    from jld.data import loader as loaders
    from jld.data import worker as workers

    for module in (loaders, workers):
        monkeypatch.setattr(module, "WAITING_SECONDS", 0.3)


def test_a_stopped_worker_is_named_with_its_images(loader, short_waits, caplog):
    batches = loader.epoch(0)
    next(batches)
    for process in process_ids(loader):
        os.kill(process, signal.SIGSTOP)
    timer = threading.Timer(2.5, lambda: [os.kill(p, signal.SIGCONT) for p in process_ids(loader)])
    timer.start()
    # Some batches may be there already; the next epoch's are not.
    list(batches)
    assert len(list(loader.epoch(1))) == 4
    timer.join()
    assert any(re.search(r"data worker \d+ \(stopped: kill -CONT", text) for text in caplog.messages)


class Pipe:
    """A dataset whose only image never comes."""

    def __init__(self, path):
        self.path = path

    def __len__(self):
        return 1

    def image_file(self, index):
        return self.path

    def get(self, index, rng):
        return Path(self.path).read_bytes()


def test_a_pipe_as_image_is_named(tmp_path, short_waits, caplog):
    path = tmp_path / "pipe.jpg"
    os.mkfifo(path)
    threading.Timer(1, path.write_bytes, (b"no image",)).start()
    with pytest.raises(TypeError):  # the content arrives at last, and is none
        list(DataLoader(Pipe(str(path))).epoch(0))
    assert any("this process to prepare" in text and "pipe.jpg" in text for text in caplog.messages)


def test_a_worker_that_waits_for_ever_dies_with_its_parent(tmp_path):
    path = tmp_path / "pipe.jpg"
    os.mkfifo(path)
    code = (
        "from jld.data.loader import DataLoader; from tests.data.test_loader import Pipe, process_ids\n"
        f"loader = DataLoader(Pipe({str(path)!r}), num_workers=1)\n"
        "batches = loader.epoch(0)\n"
        "import threading; threading.Timer(3, lambda: print(*process_ids(loader), flush=True)).start()\n"
        "next(batches)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    )
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    assert_gone([worker])


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_signals_to_the_whole_group_leave_workers_to_their_parent(loader, number):
    batches = loader.epoch(0)
    next(batches)
    for process in process_ids(loader):
        os.kill(process, number)
    assert len(list(batches)) == 3 and len(list(loader.epoch(1))) == 4
