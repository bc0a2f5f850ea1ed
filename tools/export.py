"""Write a detector as an ONNX file; see docs/deploy.md."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.export import main

if __name__ == "__main__":
    sys.exit(main())
