import json
import sys

import numpy as np

from jld.utils import environment
from jld.utils.environment import environment_report, package_version, write_environment


def test_the_report_is_json_and_names_what_matters(tmp_path):
    report = write_environment(tmp_path / "work" / "env.json")
    assert json.loads((tmp_path / "work" / "env.json").read_text()) == report
    assert report["packages"]["numpy"] == np.__version__
    assert report["python"] == ".".join(map(str, sys.version_info[:3]))
    assert report["processes"] >= 1 and report["processors"] >= 1


def test_only_listed_variables_are_recorded(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2-hunter2")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    report = environment_report()
    assert "hunter2-hunter2" not in json.dumps(report)
    assert report["variables"]["OMP_NUM_THREADS"] == "3"


def test_a_bare_machine_gives_none_instead_of_errors(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("cc_path", raising=False)
    report = environment_report()
    assert report["compiler"] is None and report["gpus"] == [] and report["commit"] is None


def test_packages_that_are_not_there():
    assert package_version("no-such-package-anywhere") is None


def test_the_commit_says_when_the_tree_is_changed(monkeypatch):
    answers = {"rev-parse": ["abc"], "status": [" M a.py"]}
    monkeypatch.setattr(
        environment, "_lines", lambda *command: next(answers[key] for key in answers if key in command)
    )
    monkeypatch.setattr(environment.Path, "exists", lambda self: True)
    assert environment._commit() == "abc+changes"
    answers["status"] = []
    assert environment._commit() == "abc"
