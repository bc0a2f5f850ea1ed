"""Worker processes over many items."""

import importlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jld.errors import DataError
from jld.utils.map_shards import ShardError, _serve, map_shards

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys, time
sys.path.insert(0, {root!r})
from jld.utils.map_shards import map_shards

{body}

if __name__ == "__main__":
    {main}
"""


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_item_is_worked_on_once(num_workers):
    assert sorted(map_shards(abs, [-3, -1, -2], num_workers)) == [(0, 3), (1, 1), (2, 2)]
    assert list(map_shards(abs, [], num_workers)) == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_errors_name_the_item(num_workers):
    with pytest.raises(ShardError, match=r"(?s)item 'x' failed.*invalid literal"):
        list(map_shards(int, ["1", "x"], num_workers, lambda item: f"item {item!r}"))


def test_own_errors_pass_unchanged():
    def fail(_item):
        raise DataError("a.txt:3: no number.")

    with pytest.raises(DataError, match=r"^a\.txt:3: no number\.$"):
        list(map_shards(fail, [1]))


def run_program(tmp_path, body, main):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(root=str(ROOT), body=body, main=main))
    return subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)


def test_a_worker_that_dies_is_an_error_with_the_candidates(tmp_path):
    body = "import os\ndef die(item):\n    os._exit(9) if item == 'bad' else time.sleep(0.01)"
    done = run_program(tmp_path, body, "list(map_shards(die, ['good', 'bad'], 2))")
    assert done.returncode == 1 and "worker process died" in done.stderr and "bad" in done.stderr


def test_an_interrupt_ends_quietly_after_the_items_in_hand(tmp_path):
    body = (
        "def work(item):\n    time.sleep(0.05)\n    return item\n"
        "def run():\n    import _thread\n    try:\n"
        "        for _ in map_shards(work, list(range(1000)), 2):\n            _thread.interrupt_main()\n"
        "    except KeyboardInterrupt:\n        print('stopped')"
    )
    start = time.monotonic()
    done = run_program(tmp_path, body, "run()")
    assert done.stdout.strip() == "stopped" and done.stderr == "" and done.returncode == 0
    assert time.monotonic() - start < 40, "1000 items take 25 s of sleep alone"


def test_workers_end_when_their_parent_is_killed(tmp_path):
    body = (
        "import os, signal\n"
        "def work(item):\n    return os.getpid()\n"
        "def run():\n    for _, pid in map_shards(work, list(range(100000)), 2):\n"
        "        print(pid, flush=True)\n        os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = run_program(tmp_path, body, "run()")
    assert done.returncode == -9
    worker = int(done.stdout.split()[0])
    deadline = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


def is_running(pid):
    """Whether a process does more than wait to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_one_worker_stays_in_this_process():
    assert dict(map_shards(_process_id, [0, 1], 1)) == {0: os.getpid(), 1: os.getpid()}


def _process_id(_item):
    return os.getpid()


CLUSTER_WORK = """
import os, pathlib, signal

def die_once(item):
    mark = pathlib.Path(item[1])
    if item[0] == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item[0] * 2

def die(item):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """(address of a scheduler with two local workers, a module that they can import, its folder)."""
    distributed = pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "cluster_work.py").write_text(CLUSTER_WORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", f"{ROOT}:{folder}")
        with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as local:
            yield local.scheduler_address, importlib.import_module("cluster_work"), folder


def test_a_cluster_finishes_what_a_killed_worker_had_begun(cluster):
    address, work, folder = cluster
    items = [(number, str(folder / "died")) for number in range(8)]
    assert sorted(map_shards(work.die_once, items, address)) == [(n, 2 * n) for n in range(8)]
    assert (folder / "died").exists()


def test_a_cluster_names_the_item_that_fails_or_kills_its_workers(cluster):
    address, work, _ = cluster
    with pytest.raises(ShardError, match=r"(?s)item 'x' failed.*invalid literal"):
        list(map_shards(int, ["1", "x"], address, lambda item: f"item {item!r}"))
    with pytest.raises(ShardError, match="item 'bad' could not be worked on"):
        list(map_shards(work.die, ["bad"], address, lambda item: f"item {item!r}"))


def test_a_wait_says_what_for(monkeypatch, caplog):
    monkeypatch.setattr("jld.utils.map_shards.WAITING_SECONDS", 0.05)
    monkeypatch.setattr("jld.utils.logging._said", set())
    with ThreadPoolExecutor(1) as executor:
        # What `map_shards` does with the workers of a cluster, of which there are none at first.
        results = _serve(executor, time.sleep, [0.2, 0.2], 1, "{} s".format, lambda: "; no workers")
        assert list(results) == [(0, None), (1, None)]
    (said,) = [record.message for record in caplog.records]
    assert said == "no result since 0.05 s, waiting for 0.2 s, 0.2 s; no workers."


def test_an_address_without_a_scheduler_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("jld.utils.map_shards.CONNECT_SECONDS", 0.5)
    with pytest.raises(ShardError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        list(map_shards(abs, [1], "tcp://127.0.0.1:1"))


def test_an_address_without_dask_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ShardError, match=r"pip install -e \"\.\[cluster\]\""):
        list(map_shards(abs, [1], "tcp://127.0.0.1:1"))
