"""Finds objects in images, folders and films: the same as `jld predict`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.predict import main

if __name__ == "__main__":
    sys.exit(main())
