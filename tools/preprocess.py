"""Cuts DOTA-like datasets into patches: the same as `jld preprocess`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.preprocess import main

if __name__ == "__main__":
    sys.exit(main())
