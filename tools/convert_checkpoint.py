"""Convert a checkpoint: any file jld reads, to .safetensors or .pth.

Without --config every name is translated and nothing is compared; with it the shapes of that model and the
values its distributions run over decide, and a file that does not fit is refused. --to mmdet writes a file
that mmDetection and mmRotate can load. A file of other classes fits with --class-layer: leave_out keeps the
layer the model starts with, by_name takes the file's rows of the classes that --classes names as well.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.checkpoint import ConvertOptions, convert_file
from jld.checkpoint.class_layer import CHOICES
from jld.errors import JldError


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, convert, print the report; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="SRC", help="a .pth, .pkl or .safetensors file")
    parser.add_argument("destination", metavar="DST", help="the file to write: .safetensors, .pth or .pt")
    parser.add_argument("--config", metavar="FILE", help="config of the model the weights are for")
    parser.add_argument(
        "--to", choices=("jld", "mmdet"), default="jld", help="layout of the names (default: jld)"
    )
    parser.add_argument(
        "--partial", action="store_true", help="accept a file that fits the model only in part"
    )
    parser.add_argument(
        "--class-layer", choices=CHOICES, default="load", help="with --config: see above (default: load)"
    )
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="those of the model")
    options = parser.parse_args(arguments)
    if options.class_layer != "load" and not options.config:
        parser.error("--class-layer needs the model's layer: give --config.")
    try:
        shapes, supports, initial = describe_model(options.config) if options.config else (None, {}, {})
        report = convert_file(
            options.source,
            options.destination,
            shapes,
            options.to,
            strict=not options.partial,
            options=ConvertOptions(
                supports=supports,
                class_layer=options.class_layer,
                initial=initial,
                model_classes=tuple(options.classes),
            ),
        )
    except JldError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report.text())
    print(f"wrote {options.destination}")
    return 0


def describe_model(config: str) -> tuple[dict[str, tuple[int, ...]], dict, dict]:
    """Shapes by name, supports and class layer of the model a config describes; only this needs Jittor."""
    from jld.apis import register_parts
    from jld.config import load_config
    from jld.models import build_detector
    from jld.models.pretrained import initial_class_layer, named_supports

    register_parts()
    model = build_detector(load_config(config))
    shapes = {name: tuple(values.shape) for name, values in model.state_dict().items()}
    return shapes, named_supports(model), initial_class_layer(model)


if __name__ == "__main__":
    sys.exit(main())
