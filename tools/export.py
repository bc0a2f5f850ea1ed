"""Writes a detector as an ONNX file: the same as `jld export`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.export import main

if __name__ == "__main__":
    sys.exit(main())
