"""Collects the scores of many runs into one table: the same as `jld compare`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.compare_baselines import main

if __name__ == "__main__":
    sys.exit(main())
