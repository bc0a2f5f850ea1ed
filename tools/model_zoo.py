"""Writes the page of all models: the same as `jld model_zoo`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.model_zoo import main

if __name__ == "__main__":
    sys.exit(main())
