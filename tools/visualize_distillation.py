"""Draws where distillation looks and what it hands over: the same as `jld visualize`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.visualize_distillation import main

if __name__ == "__main__":
    sys.exit(main())
