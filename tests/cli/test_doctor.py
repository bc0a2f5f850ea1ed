"""The report of `jld doctor` on findings made up here."""

import pytest

from jld.apis import doctor
from jld.toolchain import Finding


def test_a_problem_shows_its_cure_and_fails(monkeypatch, capsys):
    findings = [
        Finding("python", True, "3.11.7"),
        Finding("compiler", False, "no g++", "apt-get install g++"),
    ]
    monkeypatch.setattr(doctor, "inspect_machine", lambda: findings)
    # What cannot compile is not tried.
    monkeypatch.setattr(doctor, "check_convolution", lambda: pytest.fail("compiled on a broken machine"))
    assert doctor.main(["--compile"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ok", "python", "3.11.7"]
    assert lines[1].startswith("BAD  compiler")
    assert lines[2].split() == ["->", "apt-get", "install", "g++"]
    assert lines[-1] == "1 problem to mend before jld can run."


def test_a_sound_machine_passes_with_its_convolution(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "inspect_machine", lambda: [Finding("python", True, "3.11.7")])
    assert doctor.main(["--compile"]) == 0
    assert "right on the" in capsys.readouterr().out


def test_a_crash_of_the_convolution_is_a_finding(monkeypatch):
    monkeypatch.setattr(doctor, "CONVOLUTION", "raise SystemExit('no oneDNN')")
    finding = doctor.check_convolution()
    assert not finding.ok
    assert finding.detail == "no oneDNN"
    assert "clean_cache" in finding.cure
