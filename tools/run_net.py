"""Trains, scores and shows detectors: python tools/run_net.py --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.cli import main

if __name__ == "__main__":
    sys.exit(main())
