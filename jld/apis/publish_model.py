"""Publish a model: the student's weights, classes, config and metrics as <DST>-<hash>.safetensors."""

from __future__ import annotations

import argparse
import json

from jld.apis.arguments import add_config_flag
from jld.apis.program import program
from jld.checkpoint import publish_model
from jld.config import load_config, to_plain
from jld.errors import ConfigError


@program
def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, publish, print the path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", metavar="SRC", help="a checkpoint of a run, or any file jld reads")
    parser.add_argument(
        "destination", metavar="DST", help="folder and stem of the result, e.g. out/ld_gfl_r18"
    )
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="class names (default: those in SRC)")
    add_config_flag(parser, "config to include (default: that in SRC)")
    parser.add_argument(
        "--metrics", metavar="JSON", help="for example '{\"AP\": 0.365}' (default: those in SRC)"
    )
    parser.add_argument("--average", action="store_true", help="publish the running average of the weights")
    options = parser.parse_args(arguments)
    config = to_plain(load_config(options.config_file)) if options.config_file else None
    try:
        metrics = json.loads(options.metrics) if options.metrics else None
    except ValueError as error:
        raise ConfigError(f"--metrics {options.metrics}: not JSON: {error}.") from None
    path = publish_model(
        options.source, options.destination, options.classes, config, metrics, options.average
    )
    print(path)
