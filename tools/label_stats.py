"""Prints and draws what labels look like, see `jld.apis.label_stats`.

Usage: python tools/label_stats.py --from yolo data/mine --out stats.png
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.label_stats import main

if __name__ == "__main__":
    sys.exit(main())
