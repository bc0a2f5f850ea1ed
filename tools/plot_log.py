"""Draws the curves of one or several runs: the same as `jld plot_log`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.plot_log import main

if __name__ == "__main__":
    sys.exit(main())
