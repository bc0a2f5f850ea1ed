"""Prints and draws what labels look like: the same as `jld stats`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.label_stats import main

if __name__ == "__main__":
    sys.exit(main())
