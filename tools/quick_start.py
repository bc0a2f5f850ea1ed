"""The main job on a dataset that draws itself: the same as `jld quick_start`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.quick_start import main

if __name__ == "__main__":
    sys.exit(main())
