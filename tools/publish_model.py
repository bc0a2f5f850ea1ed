"""Publishes a model as one file: the same as `jld publish`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.publish_model import main

if __name__ == "__main__":
    sys.exit(main())
