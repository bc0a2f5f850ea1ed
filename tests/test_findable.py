"""Tests are found by the name of the source: those of `config/jdet/keys.py` in `config/test_jdet_keys.py`."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Packages whose tests are not in this order yet.
LATER = ("apis", "boxes", "data", "distill", "models", "ops")
# {file of tests: the sources it covers beside or instead of the one of its name}
COVERS = {
    "test_registry.py": ("errors.py",),
    "assign/test_atss.py": ("assign/assignment.py",),
    "assign/test_own_level.py": ("assign/levels.py",),
    "assign/test_regions.py": (
        "assign/interfaces.py",
        "assign/regions/everywhere.py",
        "assign/regions/fine_grained.py",
        "assign/regions/general_instance.py",
        "assign/regions/inside_gt.py",
        "assign/regions/main.py",
        "assign/regions/valuable.py",
        "assign/rounds.py",
    ),
    "assign/test_rotated_assign.py": ("assign/overlaps.py",),
    "assign/test_rotated_regions.py": ("assign/regions/rotated.py",),
    "cli/test_run_net.py": ("cli.py",),
    "checkpoint/test_convert.py": (
        "checkpoint/report.py",
        "checkpoint/names/jdet.py",
        "checkpoint/names/mmdet.py",
        "checkpoint/names/mmrotate.py",
        "checkpoint/names/rules.py",
        "checkpoint/names/timm.py",
        "checkpoint/names/torchvision.py",
    ),
    "checkpoint/test_export.py": ("checkpoint/publish.py", "checkpoint/torch_writer.py"),
    "checkpoint/test_hostile.py": ("checkpoint/malformed.py", "checkpoint/pickle_machine.py"),
    "checkpoint/test_reader.py": (
        "checkpoint/arrays.py",
        "checkpoint/pickle_builders.py",
        "checkpoint/pickle_files.py",
        "checkpoint/plain.py",
        "checkpoint/torch_files.py",
    ),
    "checkpoint/test_training_state.py": ("checkpoint/atomic.py",),
    "config/test_imports.py": ("config/prepare.py",),
    "config/test_jdet.py": ("config/jdet/data.py", "config/jdet/model.py", "config/jdet/section.py"),
    "config/test_loader.py": ("config/yaml_text.py",),
    "config/test_validate.py": ("config/sections.py",),
    "evaluation/test_coco.py": ("evaluation/records.py",),
    "losses/test_losses.py": (
        "losses/cross_entropy.py",
        "losses/distribution.py",
        "losses/focal.py",
        "losses/iou.py",
        "losses/kl.py",
        "losses/reduction.py",
        "losses/regression.py",
    ),
    "optim/test_optimizers.py": ("optim/adam.py", "optim/base.py", "optim/gradients.py", "optim/sgd.py"),
    "runner/test_loop.py": ("runner/history.py",),
    "runner/test_prototypes.py": ("runner/candidates.py",),
    "test_toolchain.py": (
        "toolchain/build.py",
        "toolchain/cache.py",
        "toolchain/findings.py",
        "toolchain/headers.py",
        "toolchain/onednn.py",
    ),
    "cli/test_mpirun.py": ("utils/distributed.py",),
    "visualization/test_boxes.py": ("visualization/canvas.py",),
    "visualization/test_curves.py": ("visualization/figures.py",),
}


def names_of_tests(source: str) -> list[str]:
    """Where the tests of a source may stand, relative to `tests`; `source` is relative to `jld`."""
    *folders, name = source.removesuffix(".py").split("/")
    package = f"{folders[0]}/" if folders else ""
    return [
        f"{package}test_{'_'.join([*folders[start:], name])}.py" for start in range(1, len(folders) + 1)
    ] or [f"test_{name}.py"]


def test_names():
    assert names_of_tests("registry.py") == ["test_registry.py"]
    assert names_of_tests("optim/average.py") == ["optim/test_average.py"]
    assert names_of_tests("config/jdet/keys.py") == ["config/test_jdet_keys.py", "config/test_keys.py"]


def sources() -> list[str]:
    files = sorted(str(file.relative_to(ROOT / "jld")) for file in (ROOT / "jld").rglob("*.py"))
    return [file for file in files if not file.endswith(("__init__.py", "__main__.py"))]


@pytest.mark.parametrize("source", [each for each in sources() if each.split("/")[0] not in LATER])
def test_every_source_has_its_tests(source):
    named = [*names_of_tests(source), *(test for test, covered in COVERS.items() if source in covered)]
    assert any((ROOT / "tests" / test).is_file() for test in named), f"write one of {named}"


def test_what_is_said_to_be_covered_exists():
    covered = [source for each in COVERS.values() for source in each]
    assert len(covered) == len(set(covered)) and set(covered) <= set(sources())
    assert [test for test in COVERS if not (ROOT / "tests" / test).is_file()] == []
