"""Converts labels between the formats of annotation tools and benchmarks: the same as `jld convert`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.convert_labels import main

if __name__ == "__main__":
    sys.exit(main())
