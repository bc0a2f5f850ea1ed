"""Draws where distillation looks (regions) and what it hands over (edges, feature maps) on a config's images.

Usage: jld visualize ld_gfl_student --num 2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from jld.apis.arguments import ConfigParser
from jld.apis.program import program


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = ConfigParser(
        description=__doc__.split("\n", 1)[0], meaning="a config, with `distill` or with --regions"
    )
    parser.add_argument("--checkpoint", help="weights of the student (default: its initial weights)")
    parser.add_argument("--num", type=int, default=8, help="number of images (default: 8)")
    parser.add_argument("--save_dir", default="distillation", help="folder for the pictures")
    parser.add_argument("--split", default="val", help="train, val or test (default: val)")
    parser.add_argument("--regions", nargs="+", default=[], help="more regions to draw, such as main vlr")
    parser.add_argument("--boxes", type=int, default=4, help="objects per image whose edges are drawn")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="softens the drawn distributions (default: 1)"
    )
    parser.add_argument("--no_cuda", "--cpu", action="store_true", help="run on the CPU even beside a GPU")
    return parser.parse_args(arguments)


@program
def main(arguments: Sequence[str] | None = None) -> None:
    """Writes up to three pictures per image."""
    options = parse_arguments(arguments)
    # Imported here: --help should not wait for Jittor.
    from jld.apis import register_parts, use_device
    from jld.apis.distillation_pictures import draw_distillation
    from jld.config import prepare_config
    from jld.visualization.canvas import write_image

    folder = Path(options.save_dir)
    register_parts()
    use_device("cpu" if options.no_cuda else "auto")
    pictures = draw_distillation(
        prepare_config(options.config_file, options.opts),
        options.checkpoint,
        split=options.split,
        num_images=options.num,
        regions=options.regions,
        num_boxes=options.boxes,
        temperature=options.temperature,
    )
    for picture in pictures:
        name = str(picture.img_id).replace("/", "_")
        write_image(folder / f"{name}_regions.png", picture.regions)
        if picture.edges is not None:
            write_image(folder / f"{name}_edges.png", picture.edges)
        if picture.features is not None:
            write_image(folder / f"{name}_features.png", picture.features)
        counts = ", ".join(f"{region} {count}" for region, count in picture.counts.items())
        print(f"{folder / name}: {counts} priors" + ("" if picture.edges is not None else "; no edges"))
