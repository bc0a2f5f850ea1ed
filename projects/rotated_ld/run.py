"""Rotated LD on a few DOTA images: cut, train teacher, student and distilled student, score, submit, draw.

Ends with a table of the three, the distilled student's scores per class, a checked submission and pictures;
see README.md beside this file. Started again, it continues where it was.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from jld.apis.comparison_options import add_run_flags, prepare
from jld.apis.program import program

METRICS = ("patch_AP50", "patch_AP75", "patch_AP", "AP50", "AP75", "AP")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder with images/ and labelTxt/ in DOTA's layout")
    parser.add_argument("--work_dir", default="work_dirs/rotated_ld", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of weights, data order and flips; default 0")
    add_run_flags(parser)
    return parser.parse_args()


def cut(data: Path, work_dir: Path) -> Path:
    """Cuts the images by configs/preprocess/dota_sample.py; returns the folder of patches."""
    from jld.config import load_config
    from jld.data.dota import read_plan, split_dataset

    _, (task,) = read_plan(load_config(ROOT / "configs/preprocess/dota_sample.py"))
    task = replace(task, folders=(data,), target=work_dir / "patches" / task.target.name)
    manifest = split_dataset(task.sources(), task.target, task.settings, classes=task.classes)
    print(f"{manifest['num_images']} images, {manifest['num_patches']} patches in {task.target}")
    return task.target


def finish(config_file: Path, work_dir: Path, overrides: list[str]) -> None:
    """Score per class, submission and pictures of a trained student."""
    from jld.config import prepare_config
    from jld.runner import Runner

    config = prepare_config(config_file, [*overrides, f"work_dir={work_dir}"])
    for task in ("val", "test", "vis_test"):
        Runner(config, checkpoint="last").run(task)


@program
def main() -> None:
    """Runs everything."""
    options = parse()
    from jld.apis import Entry, compare

    work_dir, configs = prepare(options), HERE / "configs"
    student_ld = configs / "ld_rotated_gwd_student.py"
    # Costs are seconds per step of the three runs, measured on two cores.
    entries = [
        Entry("teacher", str(configs / "rotated_gwd_teacher.py"), seed=options.seed, cost=0.6),
        Entry("student", str(configs / "rotated_gwd_student.py"), cost=0.4),
        Entry("student_ld", str(student_ld), "teacher", gain_over="student", cost=0.6),
    ]
    patches = cut(Path(options.data), work_dir)
    data = [f"dataset.{split}.dataset_dir={patches}" for split in ("train", "val", "test")]
    overrides = [*data, *options.opts]
    compare(entries, work_dir, seeds=[options.seed], overrides=overrides, metrics=METRICS)
    finish(student_ld, work_dir / f"student_ld_seed{options.seed}", overrides)


if __name__ == "__main__":
    sys.exit(main())
