"""One function over many items in worker processes, on this machine or on a cluster: bounded memory, errors
that name their item, clean interrupts.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from jld.errors import JldError
from jld.utils.logging import warn_once

# Items handed out per worker: one being worked on, one waiting, so that results do not pile up.
AHEAD = 2
CONNECT_SECONDS = 10
WAITING_SECONDS = 60


class ShardError(JldError):
    """A worker failed; the message names the item and holds the worker's traceback."""


def map_shards(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    num_workers: int | str = 0,
    describe: Callable[[Any], str] = str,
) -> Iterator[tuple[int, Any]]:
    """Results of `function` for every item, each as soon as it is there.

    Workers are fresh processes ("spawn"), so that no lock of OpenMP or a GPU library is inherited; `function`
    must therefore be importable (a function of a module, or a `functools.partial` of one) and items must
    pickle. When the caller stops early or is interrupted, workers finish the item in their hands and nothing
    else is started.

    Args:
        function: called with one item.
        items: what to work on.
        num_workers: processes; 0 and 1 work in this process. Or the address of a Dask scheduler
            ("tcp://host:8786"); it and its workers need jld, the workers the same paths; an item whose worker
            dies is given to another, so `function` may run twice for it.
        describe: names an item in messages.
    Yields:
        (index of the item, result), in the order of completion.
    Raises:
        ValueError: an error of jld (they all are ValueErrors that say where) is raised again as it was.
        ShardError: any other failure of `function`, a worker that died (on a cluster: several, over the same
            item), or no scheduler at the address.
    """
    if isinstance(num_workers, str):
        yield from _on_cluster(num_workers, function, items, describe)
        return
    if num_workers <= 1:
        for index, item in enumerate(items):
            yield index, _result(_call(function, item), describe(item))
        return
    context = multiprocessing.get_context("spawn")
    workers = min(num_workers, max(len(items), 1))
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker)
    try:
        yield from _serve(executor, function, items, workers, describe)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _on_cluster(
    address: str, function: Callable, items: Sequence, describe: Callable
) -> Iterator[tuple[int, Any]]:
    try:
        from distributed import Client
    except ImportError:
        raise ShardError(
            f'{address} is a Dask scheduler; Dask is missing: pip install -e ".[cluster]"'
        ) from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as problem:
        raise ShardError(f"no Dask scheduler answers at {address}: {problem}") from None
    with client:
        # Every call is work of its own: equal items must not share a result.
        executor = client.get_executor(pure=False)
        try:
            workers = max(sum(client.ncores().values()), 1)
            missing: Callable[[], str] = lambda: "" if client.ncores() else "; the cluster has no workers"  # noqa: E731
            yield from _serve(executor, function, items, workers, describe, missing)
        finally:
            executor.shutdown(wait=False)


def _serve(
    executor: Executor,
    function: Callable,
    items: Sequence,
    workers: int,
    describe: Callable,
    no_workers: Callable[[], str] = str,
) -> Iterator[tuple[int, Any]]:
    waiting, running = iter(enumerate(items)), {}
    while True:
        for index, item in waiting:
            running[executor.submit(_call, function, item)] = index
            if len(running) >= AHEAD * workers:
                break
        if not running:
            return
        done, _ = wait(running, timeout=WAITING_SECONDS, return_when=FIRST_COMPLETED)
        if not done:
            names = ", ".join(describe(items[number]) for number in sorted(running.values())[:3])
            warn_once(f"no result since {WAITING_SECONDS} s, waiting for {names}{no_workers()}.", "shards")
        for future in done:
            index = running.pop(future)
            try:
                answer = future.result()
            except BrokenProcessPool:
                names = ", ".join(describe(items[number]) for number in sorted([index, *running.values()]))
                raise ShardError(
                    f"a worker process died while working on one of: {names} (often: out of memory); "
                    "use fewer workers."
                ) from None
            except Exception as problem:  # `_call` lets none through: the cluster itself gave up
                raise ShardError(f"{describe(items[index])} could not be worked on: {problem}") from None
            yield index, _result(answer, describe(items[index]))


def _prepare_worker() -> None:
    # Both reach the whole process group; the parent decides what they mean.
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # Of warnings, each worker would give its own copy; results say what the parent has to know.
    logging.getLogger("jld").setLevel(logging.ERROR)
    # A parent that was killed cannot end its workers; without it they would wait for items for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(function: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None, str]:
    """(result, error that may be raised as it is, traceback of any other): always something that pickles."""
    try:
        return function(item), None, ""
    except ValueError as problem:
        # jld's own errors are ValueErrors with a module of jld; others deserve their traceback.
        is_own = type(problem).__module__.startswith("jld.")
        return None, problem if is_own else None, traceback.format_exc()
    except Exception:
        return None, None, traceback.format_exc()


def _result(answer: tuple[Any, Exception | None, str], name: str) -> Any:
    result, problem, trace = answer
    if problem is not None:
        raise problem
    if trace:
        raise ShardError(f"{name} failed:\n{trace}")
    return result
