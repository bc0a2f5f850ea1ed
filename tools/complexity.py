"""Counts what a student and its teacher cost: the same as `jld complexity`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.complexity import main

if __name__ == "__main__":
    sys.exit(main())
