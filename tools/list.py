"""Lists everything a config can name: the same as `jld list parts`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.listing import main

if __name__ == "__main__":
    sys.exit(main(["parts", *sys.argv[1:]]))
