"""Draws ground truth and detections of runs beside each other: png, jpg, pdf, svg.

Usage: python tools/draw.py work_dirs/student work_dirs/student_ld --num 4 --format pdf
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.draw import main

if __name__ == "__main__":
    sys.exit(main())
