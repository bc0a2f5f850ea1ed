"""The installation: an editable install works from the folder that the README's clone lies in."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = "from setuptools.build_meta import build_editable; print(build_editable('wheel'))"
IMPORT = "import site, sys; site.addsitedir(sys.argv[1]); import jld; print(jld.__version__, jld.__file__)"


def python(*arguments, cwd):
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_installed_package_wins_over_a_clone_named_jld(tmp_path):
    """`git clone ... jld`, `pip install -e jld`, then Python started beside the clone."""
    pytest.importorskip("setuptools", minversion="64")
    clone = tmp_path / "jld"
    package = clone / "jld" / "config"
    package.mkdir(parents=True)
    for name in ("setup.py", "README.md"):
        shutil.copy(ROOT / name, clone)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text('__version__ = "7.8.9"\n')
    (clone / "wheel").mkdir()
    wheel = python("-c", BUILD, cwd=clone)[-1]
    with zipfile.ZipFile(clone / "wheel" / wheel) as archive:
        archive.extractall(tmp_path / "site")
    # -ES: the jld under test, installed in the same way or named by PYTHONPATH, stays out of the path.
    version, file = python("-ES", "-c", IMPORT, str(tmp_path / "site"), cwd=tmp_path)
    assert version == "7.8.9" and Path(file) == package.parent / "__init__.py"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """(folder jld is installed into from its wheel, names in the wheel)."""
    pytest.importorskip("setuptools", minversion="70.1")
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "clone"
    clone.mkdir()
    for name in ("setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, clone)
    for name in ("jld", "configs"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    python(*install, "--disable-pip-version-check", "--target", str(folder / "site"), str(clone), cwd=folder)
    (record,) = (folder / "site").glob("jld-*.dist-info/RECORD")
    return folder / "site", {line.split(",")[0] for line in record.read_text().splitlines()}


def test_the_wheel_holds_configs_and_programs_and_nothing_else(installed):
    _, names = installed
    configs = {str(file.relative_to(ROOT)) for file in (ROOT / "configs").rglob("*.py")}
    sources = {str(file.relative_to(ROOT)) for file in (ROOT / "jld").rglob("*.py")}
    assert {f"jld/{name}" for name in configs} | sources <= names
    assert {"jld/py.typed", "jld/evaluation/published.json", "jld/toolchain/cuda_overlay/bin/nvcc"} <= names
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops - {"bin", ".."} == {"jld"}  # the script lies beside


def test_the_installed_command_works_outside_of_the_clone(installed, tmp_path):
    site, _ = installed
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def jld(*words, program=(sys.executable, "-m", "jld")):
        done = subprocess.run(
            [*program, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    code, said = jld("list", "ld_gfl_r18")
    assert code == 0 and said.startswith("ld_gfl_r18_from_r101_1x_coco ")
    code, said = jld("train", "gfl_r18_1x_coco", "--help")
    assert code == 0 and said.startswith("usage: jld train ")
    assert "did you mean 'gfl_r18_1x_coco'?" in jld("train", "gfl_r18_1x_coc")[1]
    assert "not part of the installed package" in jld("benchmark")[1]
    show = (
        "import jld.config as c; x = c.load_config('ld_gfl_r18_from_r101_1x_coco'); "
        "print(c.config_file(x), x.work_dir, c.load_config(x.distill.teacher.config).name)"
    )
    code, said = jld(show, program=(sys.executable, "-c"))
    file, work_dir, teacher = said.split()
    assert file.startswith(f"{site}/jld/configs/ld/") and teacher == "gfl_r101_ms_2x_coco"
    assert work_dir == "work_dirs/ld_gfl_r18_from_r101_1x_coco" and list(tmp_path.iterdir()) == []
    script = next(path for path in site.rglob("jld") if path.is_file())
    assert jld("--version", program=(sys.executable, str(script)))[1].startswith("jld 0.")
