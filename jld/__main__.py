"""`python -m jld`: the same as tools/run_net.py."""

import sys

from jld.cli import main

if __name__ == "__main__":
    sys.exit(main())
