"""The command `jld`: which words there are, what each is told, and how fast the light ones answer."""

import importlib
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from jld.apis.arguments import ConfigParser
from jld.cli import commands, run_net
from jld.utils import stopping

LIGHT = """
import sys
from jld.cli.commands import main
assert main(["--help"]) == main(["list", "gfl_r18"]) == main(["list", "weights"]) == 0
assert main(["train", "no_such_config"]) == 2
print([name for name in ("jittor", "cv2", "matplotlib") if name in sys.modules])
"""


def test_light_commands_import_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "there is neither a file nor a config 'no_such_config'" in done.stderr


def test_a_reader_that_leaves_is_no_error():
    command = [sys.executable, "-m", "jld", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_answers_help(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["jld"])
    with pytest.raises(SystemExit) as end:
        commands.main([name, "--help"])
    assert end.value.code == 0
    command = commands.COMMANDS[name]
    says_errors_alike = hasattr(commands.program(command), "__wrapped__")  # by `jld.apis.program.program`
    assert says_errors_alike or command.module == commands.RUN_NET
    assert capsys.readouterr().out.startswith(f"usage: jld {name} ")


def test_words_that_are_no_command(capsys):
    assert commands.main(["--version"]) == commands.main([]) == 0
    assert commands.main(["evaluat"]) == 2 and commands.main(["trian"]) == 2
    shown = capsys.readouterr()
    assert "jld 0." in shown.out and "  visualize " in shown.out
    assert "no command 'trian': did you mean 'train'?" in shown.err


def test_what_is_not_installed_is_said(monkeypatch, capsys):
    monkeypatch.setitem(commands.COMMANDS, "x", commands.Command("", "tools/nowhere.py"))
    assert commands.main(["x"]) == 2
    assert (
        "not part of the installed package: get the repository and run tools/nowhere.py"
        in capsys.readouterr().err
    )


def test_a_stopped_training_says_what_it_has_saved(monkeypatch, caplog):
    def run(options):
        with stopping.saved_when_stopped(lambda stop: "Saved."):
            signal.raise_signal(signal.SIGTERM)
            stopping.poll()

    monkeypatch.setattr(run_net, "run", run)
    assert commands.main(["train", "a.py"]) == 128 + signal.SIGTERM
    assert caplog.messages == ["stopped by SIGTERM. Saved."]


@pytest.mark.parametrize("task", [None, "train", "distill"])
def test_the_config_may_be_named_in_three_ways(task):
    parse = run_net.parser(task).parse_args
    lines = [
        "a.py lr=1 --seed 3",
        "--seed 3 a.py lr=1",
        "--config-file=a.py --seed 3 lr=1",
        "--config a.py lr=1 --seed=3",
    ]
    for line in [*lines, "lr=1 a.py --seed 3", "a.py --seed 3 --opts lr=1"]:
        options = parse(line.split())
        assert (options.config_file, options.opts, options.seed, options.teacher) == (
            "a.py",
            ["lr=1"],
            3,
            None,
        )


def test_the_teacher_is_the_second_word_of_distill_alone(capsys):
    options = run_net.parser("distill").parse_args(["a", "b/c=d.pth", "x.y=1", "--work_dir=w"])
    assert options.config_file == "a" and options.task == "distill"
    assert run_net.overrides_of(options) == ["x.y=1", "distill.teacher=b/c=d.pth", "work_dir=w"]
    assert run_net.parser("distill").parse_args(["--config=a", "b"]).teacher == "b"
    for task, line in (("train", "a b"), ("distill", "a b c"), ("train", ""), ("train", "lr=1")):
        with pytest.raises(SystemExit):
            run_net.parser(task).parse_args(line.split())
    assert "unrecognized arguments: b" in capsys.readouterr().err


def test_further_words_have_defaults():
    parser = ConfigParser(further={"split": "train"})
    assert parser.parse_args(["a.py"]).split == "train" and parser.parse_args(["a.py", "val"]).split == "val"


def test_distilling_needs_a_teacher_somewhere(capsys):
    assert commands.main(["distill", "gfl_r18_1x_coco"]) == 2
    assert "has no `distill` section: name the teacher behind it" in capsys.readouterr().err


def test_quick_start_runs_shipped_configs(monkeypatch, tmp_path):
    quick_start, seen = importlib.import_module("jld.apis.quick_start"), []
    stand_in = {name: lambda *_: None for name in ("register_parts", "use_device")}
    stand_in |= {
        "Entry": lambda *words, **_: words,
        "compare": lambda entries, *_, **options: seen.append((entries, options)),
    }
    monkeypatch.setitem(sys.modules, "jld.apis", SimpleNamespace(**stand_in))
    assert quick_start.main(["--oriented", "--seeds", "4", "--work_dir", str(tmp_path), "--opts", "a=1"]) == 0
    ((entries, options),) = seen
    assert [name for name, *_ in entries] == ["teacher", "student", "student_ld"]
    assert entries[2][1].endswith("configs/quick_start/ld_rotated_student.py")
    assert options["seeds"] == [4] and options["overrides"] == ["a=1"]
