"""Jittor and all CUDA kernels of jld, compiled and started without a GPU: needs `pip install -e ".[cuda13]"`.

Takes many minutes the first time. NVIDIA's driver and libraries are stand-ins, so nothing is computed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jld.toolchain import cuda, gpus
from jld.toolchain.cache import jittor_cache_root
from tests.toolchain.stand_ins import make_driver, replace_libraries

ROOT = Path(__file__).resolve().parents[2]
CARD = gpus.Gpus(("stand-in",), (90,), (13, 0))


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Variables with which Jittor takes the stand-ins for a card; skips where the toolkit is not complete."""
    monkeypatch.setattr(gpus, "find_gpus", lambda: CARD)
    monkeypatch.delenv("nvcc_path", raising=False)
    # One folder for all runs, so that they find what was compiled before; apart from that of a real card.
    folder = jittor_cache_root() / "jld" / "stand_ins"
    monkeypatch.setattr(cuda, "jittor_cache_root", lambda: folder)
    choice = cuda.choose_cuda()
    if not choice.nvcc or "CUDA 13" not in choice.detail:
        pytest.skip(f"needs CUDA 13: {choice.detail}")
    replace_libraries(Path(choice.nvcc).parent.parent)
    driver = make_driver(tmp_path / "driver").parent
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LD_LIBRARY_PATH": f"{driver}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        "nvcc_path": choice.nvcc,
        "cache_name": "stand_ins",
        "use_mkl": "0",
    }


@pytest.mark.slow
def test_every_kernel_compiles_and_starts(environment):
    command = [sys.executable, "tests/toolchain/compile_kernels.py"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    compiled = set(re.findall(r"^compiled (.+)$", done.stdout, re.MULTILINE))
    assert {"convolution", "deform_conv", "nms_mask", "max_iou_match_all", "rotated_nms_mask"} <= compiled
