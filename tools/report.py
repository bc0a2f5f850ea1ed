"""Writes one HTML page about a run: scores, curves, errors, worst images, config, machine.

Usage: python tools/report.py work_dirs/student_ld
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.report import main

if __name__ == "__main__":
    sys.exit(main())
