"""The GPUs of this machine, asked of the driver alone: neither a CUDA toolkit nor Jittor is touched.

Jittor 1.3.11 ends the process, without an exception, when it was built for CUDA and there is no GPU, so this
is asked first. Can go when Jittor survives that.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


@dataclass(frozen=True)
class Gpus:
    """What the driver offers.

    Attributes:
        names: of the devices, in CUDA's order, those of CUDA_VISIBLE_DEVICES only.
        architectures: compute capability times ten of each (90 for 9.0).
        driver: (major, minor) of the newest CUDA that the driver runs.
    """

    names: tuple[str, ...]
    architectures: tuple[int, ...]
    driver: tuple[int, int]

    def __str__(self) -> str:
        """`2 x NVIDIA H200 (compute capability 9.0), driver for CUDA 13.0`."""
        name = f"{len(self.names)} x {self.names[0]}" if len(self.names) > 1 else self.names[0]
        capability = " and ".join(f"{a // 10}.{a % 10}" for a in sorted(set(self.architectures)))
        return f"{name} (compute capability {capability}), driver for CUDA {self.driver[0]}.{self.driver[1]}"


def find_gpus() -> Gpus | None:
    """The usable GPUs, or None where there is no driver or it offers none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count, version = ctypes.c_int(0), ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return None
    driver.cuDriverGetVersion(ctypes.byref(version))
    devices = [_describe(driver, ordinal) for ordinal in range(count.value)]
    names, architectures = zip(*devices)
    return Gpus(names, architectures, (version.value // 1000, version.value % 1000 // 10))


def _describe(driver: ctypes.CDLL, ordinal: int) -> tuple[str, int]:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(128)
    driver.cuDeviceGet(ctypes.byref(device), ordinal)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    return name.value.decode(errors="replace"), 10 * major.value + minor.value
