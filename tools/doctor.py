"""Says what is wrong with this machine and what to type: the same as `jld doctor`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.doctor import main

if __name__ == "__main__":
    sys.exit(main())
