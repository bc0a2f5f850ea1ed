"""Arguments and messages: the program of tools/run_net.py, and the command `jld` with all of them."""

from jld.cli.run_net import main, parser

__all__ = ["main", "parser"]
