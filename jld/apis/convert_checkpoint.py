"""Convert a checkpoint: any file jld reads, to .safetensors, .pth or (detectron2's names) .pkl.

Without --config every name is translated and nothing is compared; with it the shapes of that model, the
values its distributions run over, and what a file of detectron2 says about its input and anchors decide, and
a file that does not fit is refused. --to mmdet writes a file that mmDetection and mmRotate can load, --to
detectron2 one for detectron2, cvpods and LGD. A file of other classes fits with --class-layer: leave_out
keeps the layer the model starts with, by_name takes the file's rows of the classes that --classes names.
"""

from __future__ import annotations

import argparse
from typing import Any

from jld.apis.arguments import add_config_flag
from jld.apis.program import program
from jld.checkpoint import ConvertOptions, convert_file
from jld.checkpoint.class_layer import CHOICES
from jld.checkpoint.export import LAYOUTS


@program
def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, convert, print the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="SRC", help="a .pth, .pkl or .safetensors file")
    parser.add_argument("destination", metavar="DST", help="the file to write: .safetensors, .pth or .pt")
    add_config_flag(parser, "config of the model the weights are for")
    parser.add_argument("--to", choices=LAYOUTS, default="jld", help="layout of the names (default: jld)")
    parser.add_argument(
        "--partial", action="store_true", help="accept a file that fits the model only in part"
    )
    parser.add_argument(
        "--class-layer", choices=CHOICES, default="load", help="with --config: see above (default: load)"
    )
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="those of the model")
    options = parser.parse_args(arguments)
    if options.class_layer != "load" and not options.config_file:
        parser.error("--class-layer needs the model's layer: give --config.")
    shapes: dict[str, tuple[int, ...]] | None
    model: dict[str, Any]
    shapes, model = describe_model(options.config_file) if options.config_file else (None, {})
    report = convert_file(
        options.source,
        options.destination,
        shapes,
        options.to,
        strict=not options.partial,
        options=ConvertOptions(
            class_layer=options.class_layer, model_classes=tuple(options.classes), **model
        ),
    )
    print(report.text())
    print(f"wrote {options.destination}")


def describe_model(config: str) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Shapes by name, and what else `ConvertOptions` asks of the model a config describes; needs Jittor."""
    from jld.apis import register_parts
    from jld.config import load_config
    from jld.models import build_detector
    from jld.models.pretrained import initial_class_layer, named_constants, named_supports

    register_parts()
    model = build_detector(load_config(config))
    shapes = {name: tuple(values.shape) for name, values in model.state_dict().items()}
    return shapes, {
        "supports": named_supports(model),
        "constants": named_constants(model),
        "initial": initial_class_layer(model),
    }
