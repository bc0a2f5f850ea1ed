"""Signals: at once, or where the caller can be left; the codes are the shell's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jld.utils import stopping

ROOT = Path(__file__).parents[2]
# What the caller ignores, as nohup does with hang-ups, stays ignored.
KINDS = [each for each in stopping.SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", KINDS)
def test_outside_of_training_a_signal_ends_at_once_and_handlers_come_back(number):
    before = [signal.getsignal(each) for each in KINDS]
    with pytest.raises(stopping.Stopped) as caught, stopping.handled():
        send(number)
        pytest.fail("went on")
    assert caught.value.code == 128 + number and number.name in str(caught.value)
    assert [signal.getsignal(each) for each in KINDS] == before


@pytest.mark.parametrize("number", KINDS)
def test_in_training_it_is_noted_saved_and_said(number, caplog):
    done = []

    def save(stop):
        done.append("saved")
        return f"step {len(done)} is saved."

    with pytest.raises(stopping.Stopped), stopping.handled(), stopping.saved_when_stopped(save):
        for _ in range(3):
            send(number) if not done else None
            done.append("step")
            stopping.poll()
    assert done == ["step", "saved"]
    assert f"stopped by {number.name}. step 2 is saved." in caplog.text


def test_a_signal_in_the_last_moment_counts_as_well(caplog, monkeypatch):
    """A shell that runs one command after the other must learn of a Ctrl-C."""
    with pytest.raises(stopping.Stopped) as caught, stopping.handled(), stopping.handled():
        with stopping.postponed():
            send(signal.SIGTERM)
    assert caught.value.code == 143 and "stopped by SIGTERM. Everything was done by then." in caplog.text
    monkeypatch.setattr(stopping, "world_size", lambda: 2)
    with stopping.handled(), stopping.postponed():
        send(signal.SIGTERM)


def test_an_error_after_a_signal_is_the_stop(caplog):
    """Compilers and data workers are ended by the same Ctrl-C."""
    seen = []
    with pytest.raises(stopping.Stopped), stopping.handled():
        with stopping.saved_when_stopped(lambda stop: seen.append(stop.in_order) or ""):
            send(signal.SIGTERM)
            raise RuntimeError("the compiler was killed")
    assert seen == [False]


def test_an_error_without_a_signal_and_one_while_saving_stay_what_they_are():
    def full(stop):
        raise OSError("disk full")

    with pytest.raises(ZeroDivisionError), stopping.handled(), stopping.saved_when_stopped(full):
        raise ZeroDivisionError
    with pytest.raises(OSError, match="disk full"), stopping.handled(), stopping.saved_when_stopped(full):
        send(signal.SIGINT)
        stopping.poll()
    stopping.poll()  # nothing is left over


def test_ranks_act_on_what_one_of_them_saw():
    with pytest.raises(stopping.Stopped) as caught:
        stopping.poll(lambda noted: max(noted, signal.SIGTERM))
    assert caught.value.code == 143


def run(code, number=None, **options):
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    if number is not None:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, number)
    shown = process.communicate(timeout=60)
    return process.returncode, *shown


LOOP = """
import time
from jld.utils import stopping
with stopping.handled(), stopping.saved_when_stopped(lambda stop: "saved."):
    print("ready", flush=True)
    for _ in range(600):
        time.sleep(0.05)
        stopping.poll()
"""


@pytest.mark.parametrize("number", KINDS)
def test_a_program_ends_with_the_code_and_the_sentence(number):
    code, _, errors = run(LOOP, number)
    assert code == 128 + number
    assert f"stopped by {number.name}. saved." in errors and "Traceback" not in errors


def test_an_interactive_session_survives_an_interrupt():
    code, shown, _ = run(
        "import sys; sys.ps1 = '> '\ntry:\n"
        + LOOP.replace("\n", "\n    ")
        + "\nexcept KeyboardInterrupt as stop:\n    print(stop)",
        signal.SIGINT,
    )
    assert code == 0 and "saved." in shown


def test_a_second_signal_ends_what_cannot_be_left():
    stuck = LOOP.replace("        stopping.poll()\n", "")
    process = subprocess.Popen([sys.executable, "-c", stuck], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == -signal.SIGTERM


def test_nohup_stays_in_force():
    code, shown, _ = run(
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        + LOOP.replace("range(600)", "range(10)")
        + "\nprint('end')",
        signal.SIGHUP,
    )
    assert code == 0 and "end" in shown


def test_forked_compilers_end_with_sigterm_and_leave_ctrl_c_to_the_parent():
    code = """
import multiprocessing, os, signal, time
from jld.utils import stopping
def handlers(_):
    return [signal.getsignal(n) for n in stopping.SIGNALS]
with stopping.handled():
    with multiprocessing.get_context("fork").Pool(1) as pool:
        found = pool.map(handlers, [0])[0]
    assert found == [signal.SIG_IGN, signal.SIG_DFL, signal.SIG_IGN, signal.SIG_IGN], found
"""
    assert run(code)[0] == 0
