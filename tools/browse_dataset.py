"""Draws the ground truth of a config's dataset: the same as `jld browse`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.browse_dataset import main

if __name__ == "__main__":
    sys.exit(main())
