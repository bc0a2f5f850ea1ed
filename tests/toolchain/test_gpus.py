"""What is asked of the driver, with a stand-in for it."""

import ctypes
import shutil

import pytest

from jld.toolchain import gpus
from tests.toolchain.stand_ins import make_driver


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    return ctypes.CDLL(str(make_driver(tmp_path_factory.mktemp("driver"))))


@pytest.fixture
def with_driver(driver, monkeypatch):
    # The class itself stays what it was for annotations; only opening a library is replaced.
    monkeypatch.setattr(gpus.ctypes, "CDLL", {"libcuda.so.1": driver}.__getitem__)
    return monkeypatch


def test_cards_and_driver_are_described(with_driver):
    with_driver.setenv("STAND_IN_GPUS", "2")
    with_driver.setenv("STAND_IN_CAPABILITY", "89")
    with_driver.setenv("STAND_IN_CUDA", "12040")
    found = gpus.find_gpus()
    assert found == gpus.Gpus(("Stand-in 0", "Stand-in 1"), (89, 89), (12, 4))
    assert str(found) == "2 x Stand-in 0 (compute capability 8.9), driver for CUDA 12.4"


def test_a_driver_without_cards_is_no_gpu(with_driver):
    with_driver.setenv("STAND_IN_GPUS", "0")
    assert gpus.find_gpus() is None


def test_no_driver_is_no_gpu(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(gpus.ctypes, "CDLL", missing)
    assert gpus.find_gpus() is None
