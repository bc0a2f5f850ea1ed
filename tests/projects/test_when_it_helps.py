"""The runs of every question can be prepared, and are compared with runs of their own conditions."""

import runpy
from pathlib import Path

import pytest

from jld.apis import register_parts
from jld.config import prepare_config, to_plain

RUN = runpy.run_path(str(Path(__file__).resolve().parents[2] / "projects/when_it_helps/run.py"))


@pytest.mark.parametrize("question", RUN["QUESTIONS"])
def test_what_a_gain_is_counted_from_differs_in_its_distillation_alone(question):
    register_parts()
    entries = {entry.name: entry for entry in RUN["entries"](question)}
    gaining = [entry for entry in entries.values() if entry.gain_over]
    assert gaining and all(entry.taught_by for entry in gaining)
    for entry in gaining:
        # The quick start's own student stands for itself.
        base = entries.get(entry.gain_over)
        taught = to_plain(prepare_config(entry.config, entry.overrides))
        plain = to_plain(
            prepare_config(base.config if base else RUN["PLAIN"], base.overrides if base else ())
        )
        assert taught.pop("distill")["terms"] and plain.pop("distill") is None
        own_names = {key: plain[key] for key in ("name", "work_dir")}
        assert {**taught, **own_names} == plain
        assert base is None or base.starts_from == entry.starts_from
