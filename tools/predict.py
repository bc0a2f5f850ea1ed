"""Finds objects in images, folders and films, see `jld.apis.predict`.

Usage: python tools/predict.py CONFIG_OR_MODEL SOURCE [SOURCE ...] --checkpoint weights.pth --save images json
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.predict import main

if __name__ == "__main__":
    sys.exit(main())
