"""A training run in a process of its own, for the tests that kill it.

Usage: toy_run.py WORK_DIR [--resume] [--kill-at ITERATION] [--kill-in-write NUMBER]
Prints the log of the run when it reaches its end.
"""

import argparse
import os
import signal
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jld.checkpoint import atomic
from jld.config import Config
from jld.optim import SGD, StepLR
from jld.runner.hooks import CheckpointHook, EMAHook, Hook, LogHook
from jld.runner.logs import RunLogger
from jld.runner.loop import TrainingLoop
from jld.runner.parts import trainable_parameters
from jld.runner.state import collect_state, resume
from jld.utils.seeds import set_seed
from tests.runner.toys import ToyDetector, ToyDistiller, ToyLoader


class Killer(Hook):
    """Ends the process the way the kernel does."""

    def __init__(self, iteration):
        self.iteration = iteration

    def after_step(self, loop):
        if loop.iteration == self.iteration:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_in_write(number):
    """Ends the process in the middle of the `number`-th checkpoint."""
    write, count = atomic._write_to_disk, [0]

    def half(path, writer):
        count[0] += 1
        if count[0] < number:
            return write(path, writer)

        class Stream:
            def __init__(self, stream):
                self.stream = stream

            def write(self, data):
                self.stream.write(data[: len(data) // 2])
                self.stream.flush()
                os.kill(os.getpid(), signal.SIGKILL)

        return write(path, lambda stream: writer(Stream(stream)))

    atomic._write_to_disk = half


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--kill-at", type=int)
    parser.add_argument("--kill-in-write", type=int)
    options = parser.parse_args()
    set_seed(3)
    detector, distiller = ToyDetector(), ToyDistiller()
    params = trainable_parameters(detector, distiller)
    optimizer = SGD(params, 0.05, momentum=0.9, weight_decay=0.01)
    schedule = StepLR([2], warmup="linear", warmup_iters=4, warmup_ratio=0.1)
    loop = TrainingLoop(detector, ToyLoader(), optimizer, schedule, distiller=distiller, max_epoch=3, seed=3)
    average = EMAHook(decay=0.9, warmup_iters=5)
    logger = RunLogger(["TextLogger"])
    logger.open(options.work_dir, keep_old=options.resume)
    collect = partial(collect_state, config=Config({"model": {}}), classes=["thing"])
    # Killed right after the step, before its checkpoint: the checkpoint at iteration 4 is the last.
    killer = [] if options.kill_at is None else [Killer(options.kill_at)]
    checkpoints = CheckpointHook(options.work_dir / "checkpoints", collect, every_iters=2)
    loop.hooks = [average, LogHook(logger, 3), *killer, checkpoints]
    if options.kill_in_write is not None:
        kill_in_write(options.kill_in_write)
    if options.resume:
        print(resume(loop, options.work_dir / "checkpoints" / "last.pkl"), file=sys.stderr)
    loop.run()


if __name__ == "__main__":
    main()
