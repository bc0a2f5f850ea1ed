"""The documentation: what it shows can be loaded, what it names exists, what it commands is understood."""

import ast
import importlib
import importlib.util
import inspect
import re
import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest

from jld.apis import register_parts
from jld.cli import parser
from jld.cli.commands import COMMANDS
from jld.config import describe_schema, prepare_config
from jld.registry import DATASETS, REGIONS, TERMS, build

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
OWN_FOLDERS = "configs|docs|jld|projects|tests|tools"
CHINESE = "_zh-CN.md"
TRANSLATED = ["docker", "from_pytorch", "getting_started", "my_labels", "rotated"]
SCHEMA_MARK = "<!-- schema: printed by jld.config.describe_schema() -->\n"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def flags_of(tool):
    """The text that declares the flags of a tool: its own, and that of the functions it only calls."""
    text = tool.read_text()
    modules = re.findall(r"^from (jld\.apis\.\w+) import", text, re.MULTILINE)
    paths = [ROOT / f"{module.replace('.', '/')}.py" for module in modules]
    return text + "".join(map(flags_of, paths))


def commands(page):
    """Every command line of the page as words."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("docker run "):
                line = line[line.index(" jld ") + 1 :]
            if line.startswith(("python tools/", "jld ")):
                yield shlex.split(line, comments=True)


@pytest.fixture(scope="module", autouse=True)
def parts():
    """jld's own parts; the term that a page shows is forgotten again."""
    register_parts()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TERMS, "_classes", dict(TERMS._classes))
        patch.setattr(TERMS, "_primary", dict(TERMS._primary))
        yield


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A folder with the files that the pages tell the reader to write, beside the shipped configs."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "configs").symlink_to(ROOT / "configs")
    for page in PAGES:
        for block in blocks(page, "python"):
            if match := re.match(r"# (work_dirs/\S+\.py)\n", block):
                path = folder / match[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_named_files_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(rf"(?:^|[\s`(\"'=])((?:{OWN_FOLDERS})/[\w./*-]*\w)", text))
    links = {link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link}
    missing = [name for name in sorted(named) if not list(ROOT.glob(name))]
    missing += [link for link in sorted(links) if link and not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_use_flags_that_exist(page):
    for words in commands(page):
        if words[0] == "jld":
            assert words[1] in COMMANDS, words
            module, given = COMMANDS[words[1]].module, COMMANDS[words[1]].given
        else:
            module, given = words[1].removesuffix(".py").replace("/", "."), ()
        file = ROOT / f"{module.removesuffix('.py').replace('.', '/')}.py"
        assert file.is_file(), words
        if file.stem == "run_net":
            parser(*given).parse_args(words[2:])
        elif hasattr(made := importlib.import_module(module), "parser"):
            made.parser().parse_args(words[2:])
        else:
            flags = [word.split("=")[0] for word in words if word.startswith("--")]
            assert all(f'"{flag}"' in flags_of(file) for flag in flags), words


def test_shown_configs_are_valid(shown, monkeypatch):
    monkeypatch.chdir(shown)
    configs = [path for path in sorted(shown.glob("work_dirs/**/*.py")) if "_base_" in path.read_text()]
    assert len(configs) >= 4
    for path in configs:
        prepare_config(path)


@pytest.mark.parametrize("page", ["docs/my_labels.md", "docs/my_labels_zh-CN.md"])
def test_shown_datasets_have_the_keys_that_are_shown(page):
    shown = []
    for block in blocks(page, "python"):
        names = {}
        exec(block, {}, names)
        shown += [value for value in names.values() if isinstance(value, dict) and "type" in value]
    assert len(shown) >= 8
    for section in shown:
        keys = {key: value for key, value in section.items() if key != "type"}
        inspect.signature(DATASETS.get(section["type"])).bind(**keys)


def without_comments(language, code):
    """What a block does: Python as its syntax tree, a shell's lines without the words behind `#`."""
    if language == "python":
        return ast.dump(ast.parse(code))
    return re.sub(r"\s+#.*", "", code) if language == "bash" else code


def backbone_of(text):
    """What a page and its translation share: commands, outline, tables, links, names in code, numbers."""
    fenced = r"```(\w*)\n(.*?)```"
    prose = re.sub(fenced, "", text, flags=re.DOTALL)
    return {
        "blocks": [without_comments(*block) for block in re.findall(fenced, text, re.DOTALL)],
        "headings": [len(marks) for marks in re.findall(r"^(#+) ", prose, re.MULTILINE)],
        "tables": [row.count("|") for row in prose.splitlines() if row.startswith("|")],
        "items": len(re.findall(r"^- ", prose, re.MULTILINE)),
        "links": Counter(link.replace(CHINESE, ".md") for link in re.findall(r"\]\(([^)]+)\)", prose)),
        "names": {" ".join(name.split()) for name in re.findall(r"`([^`]+)`", prose)},
        "numbers": Counter(re.findall(r"\d+(?:[.,]\d+)*", prose)),
    }


def test_every_translation_is_watched():
    assert [path.name.removesuffix(CHINESE) for path in sorted(ROOT.glob(f"docs/*{CHINESE}"))] == TRANSLATED


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_translation_says_what_the_original_says(name):
    english, chinese = ((ROOT / f"docs/{name}{end}").read_text(encoding="utf-8") for end in (".md", CHINESE))
    # Each leads to the other, which as a link of both languages is the same.
    assert f"]({name}{CHINESE})" in english and f"]({name}.md)" in chinese
    ours, theirs = backbone_of(english), backbone_of(chinese)
    assert {key: value for key, value in ours.items() if theirs[key] != value} == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--task=train --resume", "--task=train"),
        ("max_epoch = 2", "max_epoch = 3"),
        ("## 7. ", "**7.** "),
        ("| `crops` |", "| crops |"),
        ("](configs.md#what-a-run-saves)", "](configs.md)"),
        ("64 ", "65 "),
    ],
)
def test_a_change_in_one_language_is_seen(old, new):
    text = (ROOT / "docs/getting_started.md").read_text(encoding="utf-8")
    assert old in text and backbone_of(text) != backbone_of(text.replace(old, new))


def test_shown_term_passes_its_shown_test(shown, monkeypatch):
    monkeypatch.chdir(shown)
    config = prepare_config("work_dirs/cosine/cosine_gfl_student.py")
    built = [build(section) for section in config.distill.terms]
    assert [term.name for term in built] == ["loss_cosine_inside_gt", "loss_ld"]
    # A reader's test imports the file by name; here the config has imported it already, under another one.
    monkeypatch.setitem(sys.modules, "cosine_terms", sys.modules[TERMS.get("CosineImitation").__module__])
    path = shown / "work_dirs/cosine/test_cosine_terms.py"
    spec = importlib.util.spec_from_file_location("shown_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.test_cosine_imitation()


def test_schema_table_is_the_current_one():
    text = (ROOT / "docs/configs.md").read_text(encoding="utf-8")
    assert text.split(SCHEMA_MARK)[1] == describe_schema(), "print it again with describe_schema()"


def test_every_region_is_explained():
    text = (ROOT / "docs/distillation.md").read_text(encoding="utf-8")
    short = [name for name in REGIONS.names() if name.islower() and not name.startswith("rotated")]
    assert short and [name for name in short if f"| `{name}` |" not in text] == []
