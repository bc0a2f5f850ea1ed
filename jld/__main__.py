"""`python -m jld`: the command `jld`."""

import sys

from jld.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
