"""Train, score and show: tools/run_net.py, and `jld train`, `distill`, `val`, `test` and `vis_test`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from jld.apis.arguments import ConfigParser
from jld.apis.program import guarded
from jld.errors import ConfigError
from jld.utils.distributed import rank, world_size
from jld.utils.logging import set_up_logging

DISTILL = "distill"
TAUGHT = (
    "Trains CONFIG under TEACHER: a config whose run has left weights, the folder of a run, or weights that "
    "hold their config or have it beside them."
)
EPILOG = """examples:
  %(prog)s --config-file=configs/gfl/gfl_r18_1x_coco.py --task=train
  %(prog)s --config-file=configs/gfl/gfl_r18_1x_coco.py --task=val --checkpoint=weights.pth
  %(prog)s --config-file=configs/gfl/gfl_r18_1x_coco.py --dry-run --opts optimizer.lr=0.001 seed=1
"""


def main(arguments: Sequence[str] | None = None, task: str | None = None) -> int:
    """Runs one task; returns the exit code: 0, 2 after a message about what to change, or 128 + the number
    of the signal that ended it.

    Under `mpirun` a rank that fails ends its process at once, and with it the job: the others would wait for
    it for ever, and so would its own farewell to them.

    Args:
        arguments: the words of the command line; None: those of this process.
        task: one of `jld.runner.TASKS`, or "distill"; None: what the flag `--task` says.
    """
    options = parser(task).parse_args(arguments)
    if world_size() == 1:
        return guarded(lambda: run(options), options.debug)
    try:
        code = guarded(lambda: run(options), options.debug)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    if code > 128:
        os._exit(code)
    if code:
        print(f"jld: rank {rank()} of {world_size()} has failed and ends the job.", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def run(options: argparse.Namespace) -> int:
    """What `main` does, with its errors."""
    # Imported here: --help and a wrong flag should not wait for Jittor.
    from jld.config import apply_overrides, load_config

    if options.list:
        from jld.apis.listing import main as list_main

        return list_main(["parts"])
    if not options.config_file:
        raise ConfigError("--config-file is needed (or --list); see --help.")
    set_up_logging()
    overrides = overrides_of(options)
    # Loaded once before Jittor, so that a broken file is reported at once.
    config = apply_overrides(load_config(options.config_file), overrides)
    if options.task == DISTILL and config.get("distill") is None:
        raise ConfigError(
            f"{options.config_file} has no `distill` section: name the teacher behind it (a config, weights, "
            "or the folder of a run)."
        )
    if options.download:
        os.environ["JLD_DOWNLOAD"] = "1"
    from jld.apis import register_parts, use_device
    from jld.runner import Runner
    from jld.runner.going_on import run_config

    register_parts()
    config = run_config(options.config_file, overrides)
    use_device("cpu" if options.no_cuda else "auto")
    runner = Runner(
        config,
        checkpoint=options.checkpoint,
        resume=options.resume,
        save_dir=options.save_dir,
        dry_run=options.dry_run,
    )
    runner.run("train" if options.task == DISTILL else options.task)
    return 0


def parser(task: str | None = None) -> argparse.ArgumentParser:
    """All flags.

    Args:
        task: see `main`; "distill" takes the teacher as a second word.
    """
    made = ConfigParser(
        description=TAUGHT if task == DISTILL else "Train, score and show detectors and their distillation.",
        epilog=EPILOG if task is None else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        further={"teacher": None} if task == DISTILL else None,
        required=task is not None,
    )
    made.set_defaults(task=task or "train", teacher=None)
    add = made.add_argument
    if task is None:
        add("--task", help="train, val, test or vis_test (default: train)")
    add("--no_cuda", "--cpu", action="store_true", help="run on the CPU even where a GPU could be used")
    add("--save_dir", help="folder for the pictures of vis_test")
    add("--resume", action="store_true", help="go on from work_dir/checkpoints/last.pkl")
    add("--seed", type=int, help="same as --opts seed=...")
    add("--work_dir", "--work-dir", help="same as --opts work_dir=...")
    add(
        "--dry-run",
        "--dry_run",
        action="store_true",
        help="a few steps on a few images, with the same config",
    )
    add(
        "--checkpoint",
        help="for val, test and vis_test: a file, `best` or `last` of the run (default: best)",
    )
    add("--download", action="store_true", help="fetch weights that the config names and this machine lacks")
    add("--list", action="store_true", help="list everything a config can name")
    add("--debug", action="store_true", help="show the traceback of errors")
    return made


def overrides_of(options: argparse.Namespace) -> list[str]:
    """The overrides of `--opts`, the teacher, `--seed` and `--work_dir`; the last ones win."""
    named = {"distill.teacher": options.teacher, "seed": options.seed, "work_dir": options.work_dir}
    return [*options.opts, *(f"{key}={value}" for key, value in named.items() if value is not None)]
