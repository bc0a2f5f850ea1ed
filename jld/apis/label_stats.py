"""Prints and draws what labels look like: classes, sizes, aspect ratios, objects per image, angles.

Usage: jld stats data/mine --from yolo --out stats.png
       jld stats ld_gfl_r18_from_r101_1x_coco train
"""

from __future__ import annotations

from pathlib import Path

from jld.apis.arguments import ConfigParser
from jld.apis.browse_dataset import build_dataset
from jld.apis.convert_labels import add_source, source_of
from jld.apis.program import program
from jld.config import apply_overrides, import_parts, load_config
from jld.data.check import check_dataset
from jld.data.dataset import DetectionDataset
from jld.data.label_sources import ROTATED
from jld.data.label_statistics import LabelStatistics
from jld.data.problems import listing
from jld.errors import ConfigError, DataError


def label_stats(dataset: DetectionDataset, out: Path | None = None) -> str:
    """The account of a dataset and the table of its labels; a picture of them in `out` (png, pdf, svg)."""
    if dataset.table is None:
        raise DataError(f"{type(dataset).__name__} has no labels to count.")
    found = LabelStatistics.of(dataset)
    if out is not None:
        # Imported here: matplotlib takes a second.
        from jld.visualization.figures import write_figure
        from jld.visualization.label_statistics import draw_label_statistics

        figure = draw_label_statistics(
            found.classes, found.labels, found.sides, found.objects_per_image, found.angles
        )
        write_figure(out, figure, dpi=100)
    problems = check_dataset(dataset)
    findings = f"\nfindings:\n{listing(problems)}" if problems else ""
    return f"{dataset.account().describe()}\n\n{found.table()}{findings}"


def parser() -> ConfigParser:
    """All flags."""
    made = ConfigParser(
        description=f"{__doc__.splitlines()[0]} SPLIT is of a config (default: train).",
        meaning="a config with a dataset section; with --from an annotation file or a folder",
        further={"split": "train"},
    )
    add_source(made, is_needed=False)
    made.add_argument("--out", type=Path, metavar="FILE", help="picture to write: .png, .pdf, .svg")
    return made


@program
def main(argv: list[str] | None = None) -> None:
    """Prints the tables, and draws them with `--out`."""
    arguments = parser().parse_args(argv)
    path = Path(arguments.config_file)
    if arguments.format:
        rotated = arguments.boxes == "rotated" or (not arguments.boxes and arguments.format in ROTATED)
        dataset, _ = source_of(path, arguments).read(rotated=rotated)
    elif path.is_dir() or path.suffix in (".json", ".xml"):
        raise ConfigError(f"{path}: say the format of the labels with --from, or give a config.")
    else:
        config = apply_overrides(load_config(arguments.config_file), arguments.opts)
        import_parts(config.get("imports"))
        dataset = build_dataset(config, arguments.split)
    print(label_stats(dataset, arguments.out))
