"""The installation: an editable install works from the folder that the README's clone lies in."""

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
