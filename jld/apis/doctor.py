"""Says what is wrong with this machine and what to type: `jld doctor [--compile]`.

Exit code 0: jld can run here; 1: something must be mended first.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jld.apis.program import program
from jld.toolchain import Finding, inspect_machine

# In a process of its own: a compiler that crashes must not take the report with it.
CONVOLUTION = """
from jld.toolchain import jittor as jt
jt.flags.use_cuda = int(bool(jt.has_cuda))
image, weight = jt.ones((1, 3, 8, 8)), jt.ones((4, 3, 3, 3))
result = jt.nn.conv2d(image, weight, padding=1).numpy()
assert result.shape == (1, 4, 8, 8) and result[0, 0, 4, 4] == 27.0, result[0, 0]
print("GPU" if jt.flags.use_cuda else "CPU")
"""


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--compile",
        action="store_true",
        help="also import Jittor and run one convolution (minutes the first time)",
    )
    findings = inspect_machine()
    if parser.parse_args(arguments).compile and all(finding.ok for finding in findings):
        findings.append(check_convolution())
    print(report(findings))
    return 0 if all(finding.ok for finding in findings) else 1


def report(findings: Sequence[Finding]) -> str:
    """The findings as a table, each cure on a line of its own."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{'ok ' if finding.ok else 'BAD'}  {finding.name:<{width}}  {finding.detail}")
        if finding.cure:
            lines.append(f"     {'':<{width}}  -> {finding.cure}")
    bad = sum(not finding.ok for finding in findings)
    lines.append("" if bad == 0 else f"\n{bad} problem{'s' if bad > 1 else ''} to mend before jld can run.")
    return "\n".join(lines).rstrip()


def check_convolution() -> Finding:
    """Compiles and runs one convolution with Jittor, and compares the result."""
    start = time.perf_counter()
    root = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", CONVOLUTION], check=False, capture_output=True, text=True, cwd=root
    )
    seconds = time.perf_counter() - start
    if done.returncode == 0 and done.stdout.strip():
        return Finding("convolution", True, f"right on the {done.stdout.split()[-1]}, {seconds:.0f} s")
    last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
    return Finding(
        "convolution",
        False,
        last[:200],
        "Run `python -m jittor.test.test_core` for the whole message; an old kernel cache is removed with "
        "`python -m jittor_utils.clean_cache all`.",
    )
