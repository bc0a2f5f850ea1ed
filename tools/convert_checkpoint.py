"""Converts a checkpoint: the same as `jld convert_checkpoint`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.convert_checkpoint import main

if __name__ == "__main__":
    sys.exit(main())
