"""Converts labels between the formats of annotation tools and benchmarks, see `jld.apis.convert_labels`.

Usage: python tools/convert_labels.py --from voc --to coco data/mine data/mine_coco
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.convert_labels import main

if __name__ == "__main__":
    sys.exit(main())
