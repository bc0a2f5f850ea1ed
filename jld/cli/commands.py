"""The command `jld`: one word chooses a program, the rest of the line is that program's.

`COMMANDS` is the whole of it; nothing here is imported before it is asked for, so that `jld --help` and
`jld list` need neither Jittor nor NumPy.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jld import __version__
from jld.apis.program import fail, guarded
from jld.cli.run_net import main as run_net
from jld.errors import ConfigError, nearest


class Command(NamedTuple):
    """One word behind `jld`.

    Attributes:
        meaning: one line for the overview.
        module: whose `main(arguments)` it runs; or a file of the repository, for what a wheel does not hold.
        given: what `main` is told behind the arguments.
    """

    meaning: str
    module: str
    given: tuple[str, ...] = ()


RUN_NET = "jld.cli.run_net"
COMMANDS: dict[str, Command] = {
    "train": Command("train a detector; distil it where its config says so", RUN_NET, ("train",)),
    "distill": Command("train CONFIG under the teacher that is named behind it", RUN_NET, ("distill",)),
    "val": Command("score a checkpoint: the table of AP", RUN_NET, ("val",)),
    "test": Command("write what a benchmark takes: results, submission zip", RUN_NET, ("test",)),
    "vis_test": Command("draw detections on dataset.test", RUN_NET, ("vis_test",)),
    "predict": Command("find objects in images, folders, films, URLs", "jld.apis.predict"),
    "convert": Command("labels of one format into those of another", "jld.apis.convert_labels"),
    "stats": Command("count and draw what labels look like", "jld.apis.label_stats"),
    "analyze": Command(
        "errors, curves and calibration of a run; what distillation changed", "jld.apis.analyze"
    ),
    "draw": Command("pictures of detections fit for a paper", "jld.apis.draw"),
    "report": Command("one HTML page of a run", "jld.apis.report"),
    "list": Command("configs and weights by name; the parts of configs", "jld.apis.listing"),
    "download": Command("fetch ImageNet weights and published teachers by name", "jld.apis.downloads"),
    "browse": Command("draw the ground truth as training sees it", "jld.apis.browse_dataset"),
    "visualize": Command("draw regions and distributions of distillation", "jld.apis.visualize_distillation"),
    "plot_log": Command("draw the curves of runs", "jld.apis.plot_log"),
    "compare": Command("scores of many runs beside the published rows", "jld.apis.compare_baselines"),
    "export": Command("write a detector as an ONNX file", "jld.apis.export"),
    "complexity": Command("parameters, operations and times of student and teacher", "jld.apis.complexity"),
    "model_zoo": Command("write the page of all models", "jld.apis.model_zoo"),
    "publish": Command("one file of weights, classes, config and metrics", "jld.apis.publish_model"),
    "convert_checkpoint": Command("weights between the frameworks", "jld.apis.convert_checkpoint"),
    "preprocess": Command("cut DOTA-like datasets into patches", "jld.apis.preprocess"),
    "quick_start": Command("teacher, student and distilled student on drawn data", "jld.apis.quick_start"),
    "benchmark": Command("measure jld on this machine", "tools/benchmark.py"),
    "doctor": Command("what is wrong with this machine, and what to type", "jld.apis.doctor"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code, 2 where there is no such command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        return guarded(_show_overview)
    name, rest = words[0], words[1:]
    if name == "--version":
        print(f"jld {__version__}")
        return 0
    if name.startswith("-"):
        return run_net(words)
    if name not in COMMANDS:
        match = nearest(name, COMMANDS)
        cure = f"did you mean {match!r}?" if match else "see jld --help."
        return fail(ConfigError(f"there is no command {name!r}: {cure}"))
    command = COMMANDS[name]
    sys.argv[0] = f"jld {name}"  # what its parser calls itself
    if command.module == RUN_NET:  # which guards itself, as --debug says
        return run_net(rest, *command.given)
    return guarded(lambda: program(command)(rest, *command.given))


def _show_overview() -> int:
    print(overview(), flush=True)  # `jld --help | head` closes the pipe
    return 0


def overview() -> str:
    """The commands, one a line."""
    lines = [f"  {name:<{max(map(len, COMMANDS))}}  {command.meaning}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: jld COMMAND [CONFIG] [KEY=VALUE ...] [flags]; jld COMMAND --help",
            "",
            *lines,
            "",
            "CONFIG is a file, a name of `jld list` or the folder of a run. A line without a command is one "
            "of tools/run_net.py.",
        ]
    )


def program(command: Command) -> Callable[..., int]:
    """The function behind a command.

    Raises:
        ConfigError: it is in the repository and not in an installed package.
    """
    if not command.module.endswith(".py"):
        return importlib.import_module(command.module).main
    file = Path(__file__).resolve().parents[2] / command.module
    if not file.is_file():
        raise ConfigError(
            f"this command is not part of the installed package: get the repository and run {command.module}."
        )
    return runpy.run_path(str(file))["main"]
