import subprocess
import sys

import pytest

from jld import registry as reg
from jld.config import import_parts, load_config, prepare_config
from jld.errors import ConfigError

PART = """
    from jld.registry import BACKBONES

    @BACKBONES.register
    class {name}:
        def __init__(self, depth: int = 1):
            self.depth = depth
"""


@pytest.fixture(autouse=True)
def clean_modules(monkeypatch):
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith("jld_imports_") or name == "parts_on_the_path":
            del sys.modules[name]


def test_files_modules_and_packages(toy_parts, write, tmp_path, monkeypatch):
    file = write("my-heads.v2.py", PART.format(name="FromFile"))
    write("package/__init__.py", "from .inner import FromPackage")
    write("package/inner.py", PART.format(name="FromPackage"))
    write("lib/parts_on_the_path.py", PART.format(name="FromModule"))
    monkeypatch.syspath_prepend(tmp_path / "lib")
    import_parts([str(file), str(tmp_path / "package"), "parts_on_the_path"])
    assert {"FromFile", "FromPackage", "FromModule"} <= set(reg.BACKBONES.names())


def test_a_file_is_imported_once_and_two_files_of_one_name_do_not_mix(
    toy_parts, write, tmp_path, monkeypatch
):
    write("a/heads.py", PART.format(name="First"))
    write("b/heads.py", PART.format(name="Second"))
    monkeypatch.chdir(tmp_path)
    first, again, second = import_parts(
        ["a/heads.py", str(tmp_path / "b" / ".." / "a" / "heads.py"), "b/heads.py"]
    )
    assert first is again and first is not second
    assert {"First", "Second"} <= set(reg.BACKBONES.names())
    assert str(tmp_path / "a") not in sys.path


def test_nothing_to_import():
    assert import_parts(None) == [] == import_parts([])


def test_missing_files_and_modules_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"imports: .*nothing\.py does not exist"):
        import_parts([str(tmp_path / "nothing.py")])
    with pytest.raises(
        ConfigError, match=r"no module 'no_such.thing' on the Python path; .* no_such/thing.py"
    ):
        import_parts(["no_such.thing"])


def test_an_error_inside_the_file_is_not_hidden_and_leaves_no_half_module(write):
    path = write("broken.py", "import no_such_dependency")
    before = set(sys.modules)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        import_parts([str(path)])
    assert set(sys.modules) == before


def test_files_are_found_beside_the_config_and_after_a_dump(toy_parts, write, tmp_path, monkeypatch):
    write("project/parts.py", PART.format(name="Beside"))
    base = write("project/base.py", "imports = ['./parts.py', 'some.module', 'tools/absent.py']")
    leaf = write("leaf.py", "_base_ = 'project/base.py'")
    assert load_config(leaf).imports == [str(base.parent / "parts.py"), "some.module", "tools/absent.py"]
    monkeypatch.chdir(tmp_path)
    assert load_config(leaf).imports[0] == "project/parts.py"


def test_prepare_config_does_everything(toy_parts, write, valid_file, tmp_path):
    write("extra.py", PART.format(name="ExtraNet"))
    path = write(
        "leaf.py",
        "_base_ = 'valid.py'\nimports = ['./extra.py']\n"
        "model = dict(backbone=dict(_cover_=True, type='ExtraNet'))\n",
    )
    config = prepare_config(path, ["model.backbone.depth=3", "seed=5"])
    assert config.model.backbone == {"type": "ExtraNet", "depth": 3}
    assert (
        config.seed == 5 and config.accumulate_steps == 1 and config.distill.teacher.type == "FrozenTeacher"
    )
    with pytest.raises(ConfigError, match="ExtraNet takes no argument 'detph'"):
        prepare_config(path, ["model.backbone.detph=3"])
    with pytest.raises(ConfigError, match="imports: must be a list of module or file names, got 'x'"):
        prepare_config(path, ["imports=x"])


def test_no_jittor_is_needed():
    modules = "jld.config, jld.utils.logging, jld.utils.seeds, jld.utils.environment"
    code = f"import sys, {modules}; sys.exit('jittor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
