"""What a gain is counted from differs in its distillation alone, in every comparison of the projects."""

import runpy
from functools import partial
from pathlib import Path

import pytest

from jld.apis import Entry, register_parts
from jld.apis.comparison import Comparison
from jld.config import prepare_config, to_plain
from jld.evaluation.significance import Gain

PROJECTS = Path(__file__).resolve().parents[2] / "projects"


def program(name):
    return runpy.run_path(str(PROJECTS / f"{name}.py"))


WHY, THERMAL = program("when_it_helps/run"), program("rotated_ld/hit_uav")
COMPARISONS = {
    **{f"when_it_helps {question}": (WHY["entries"], question) for question in WHY["CONDITIONS"]},
    **{
        f"hit_uav {detector}": (partial(THERMAL["entries"], methods=[*THERMAL["METHODS"]]), detector)
        for detector in THERMAL["DETECTORS"]
    },
    "bccd": (program("bccd/run")["entries"], [4, 16]),
    "logit_vs_feature": (program("logit_vs_feature/run")["entries"], None),
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_what_a_gain_is_counted_from_differs_in_its_distillation_alone(name):
    register_parts()
    entries_of, argument = COMPARISONS[name]
    entries = {entry.name: entry for entry in entries_of(argument)}
    gaining = [entry for entry in entries.values() if entry.gain_over]
    assert gaining and all(entry.taught_by for entry in gaining)
    for entry in gaining:
        # The quick start's own student stands for itself.
        base = entries.get(entry.gain_over)
        taught = to_plain(prepare_config(entry.config, entry.overrides))
        plain = to_plain(
            prepare_config(base.config if base else WHY["PLAIN"], base.overrides if base else ())
        )
        assert taught.pop("distill")["terms"] and plain.pop("distill") is None
        own_names = {key: plain[key] for key in ("name", "work_dir")}
        assert {**taught, **own_names} == plain
        assert entry.starts_from == (base.starts_from if base else "start")


def test_every_condition_has_its_bar():
    runs = [Entry("teacher", WHY["TEACHER"], seed=0), Entry("student_ld", WHY["LD"], gain_over="student")]
    questions = list(WHY["CONDITIONS"])
    runs += [entry for question in questions for entry in WHY["entries"](question)]
    names = {name for own in WHY["CONDITIONS"].values() for name in own.values()}
    assert names <= {run.name for run in runs if run.gain_over}
    scores = {"teacher": {"AP": 0.5}, "teacher_4_epochs": {"AP": 0.4}, "teacher_exact": {"AP": 0.6}}
    scores |= {f"{run.name}_seed0": {"AP": 0.3} for run in runs} | {"student_seed0": {"AP": 0.2}}
    found = Comparison(scores, {name: Gain(0.1, None, 0.05, 0.2, 0.95, 1) for name in names})
    bars = WHY["bars"](found, runs, questions, [0])
    assert {question: len(own) for question, own in bars.items()} == {
        question: len(own) for question, own in WHY["CONDITIONS"].items()
    }
    assert all(label.endswith((" → 30.0",)) for own in bars.values() for label in own)
    assert any("20.0 →" in label for label in bars["recipe"])
    with pytest.raises(KeyError, match="student_ld_exact"):
        del found.gains["student_ld_exact"]
        WHY["bars"](found, runs, questions, [0])


def test_a_students_terms_are_those_of_its_name():
    entries = {entry.name: entry for entry in program("bccd/run")["entries"]([])}
    kinds = {
        name: [
            (term["type"], term["region"])
            for term in prepare_config(entry.config, entry.overrides).distill.terms
        ]
        for name, entry in entries.items()
        if entry.taught_by
    }
    logit = [("LocalizationKD", "main"), ("LocalizationKD", "vlr"), ("ClassificationKD", "main")]
    assert kinds == {
        "main_ld": logit[:1],
        "main_vlr_ld": logit[:2],
        "ours": logit,
        "short_ld": logit[:2],
        "fitnets": [("FeatureImitation", "all")],
        "main_imitation": [("FeatureImitation", "main")],
        "ours_gi": [*logit, ("FeatureImitation", "gi")],
    }
