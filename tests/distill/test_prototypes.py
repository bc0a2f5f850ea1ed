"""Choosing prototypes: against the released code in single precision, and against the long formula."""

import numpy as np
import pytest

from jld.distill.prototypes import PrototypeRule, dense_rows, density, joint_pursuit, unit_rows
from jld.errors import ConfigError
from tests.golden_cases import case

META, ARRAYS = case("g_pgm")
SETS = META["pgm"]


def features(name):
    # The sets with other numbers of choices or ties are those of "clustered".
    source = name if f"in/{name}/student" in ARRAYS else name.split("_")[0]
    return [ARRAYS[f"in/{source}/{side}"] for side in ("student", "teacher")]


@pytest.mark.parametrize("name", [name for name in SETS if f"out/{name}/threshold" in ARRAYS])
def test_candidates_are_the_released_ones(name):
    spaces = [unit_rows(each) for each in features(name)]
    found = [density(each) for each in spaces]
    for values, side, limit in zip(
        found, ("student", "teacher"), ARRAYS[f"out/{name}/threshold"], strict=True
    ):
        np.testing.assert_allclose(values, ARRAYS[f"out/{name}/density_{side}"], rtol=1e-6)
        np.testing.assert_allclose(np.sort(values)[int(0.4 * len(values))], limit, rtol=1e-6)
    expected = ARRAYS[f"out/{name}/candidates"]
    if len(expected):
        np.testing.assert_array_equal(dense_rows(found), expected)
    else:  # the release stops
        assert len(dense_rows(found)) > 0


@pytest.mark.parametrize("name", [name for name in SETS if f"out/{name}/fp32/index" in ARRAYS])
def test_choices_are_the_released_ones(name):
    rule = PrototypeRule(count=SETS[name]["K"], tie=SETS[name]["alpha"], exclude_chosen=False)
    student, teacher = features(name)
    chosen, expected = rule.choose(student, teacher), ARRAYS[f"out/{name}/fp32/index"]
    # From a choice on that is nearly a tie the released single precision may go another way.
    near = np.flatnonzero(ARRAYS[f"out/{name}/gap"] <= 1e-5)
    count = near[0] if len(near) else len(expected)
    assert count >= 1
    np.testing.assert_array_equal(student[chosen[:count]], student[expected[:count]])  # some sets hold copies
    np.testing.assert_array_equal(chosen, ARRAYS[f"out/{name}/formula_index"])


def long_formula(student, teacher, candidates, count, tie):
    """(choices, their error) with the residuals and every candidate's error written out."""
    left = [student.T.copy(), teacher.T.copy()]
    chosen, errors = [], []
    for _ in range(count):
        trials = []
        for k in candidates:
            u = [space[k] @ rest for space, rest in zip((student, teacher), left, strict=True)]
            w = [(each + tie * (u[0] + u[1])) / (1 + 2 * tie) for each in u]
            rests = [
                rest - np.outer(space[k], each)
                for space, rest, each in zip((student, teacher), left, w, strict=True)
            ]
            error = sum((rest**2).sum() for rest in rests) + tie * ((w[0] - w[1]) ** 2).sum()
            trials.append((error, k, rests))
        error, k, left = min(trials, key=lambda trial: trial[0])
        chosen.append(k), errors.append(error)
    return chosen, errors


def test_the_short_form_is_the_long_one():
    student, teacher = map(unit_rows, features("two_dims"))
    candidates = ARRAYS["out/two_dims/candidates"]
    chosen, errors = long_formula(student, teacher, candidates, 10, 10.0)
    np.testing.assert_allclose(errors, ARRAYS["out/two_dims/error"], rtol=1e-6)
    short = joint_pursuit(student, teacher, candidates, count=10, tie=10.0, exclude_chosen=False)
    np.testing.assert_array_equal(short, chosen)


def test_a_candidate_is_chosen_once_unless_the_release_is_wanted():
    student, teacher = features("clustered")
    once, again = (
        PrototypeRule(exclude_chosen=exclude).choose(student, teacher) for exclude in (True, False)
    )
    assert len(set(once)) == 10 > len(set(again))
    assert once[0] == again[0]
    few = PrototypeRule().choose(*features("n8"))  # three candidates
    assert sorted(few) == list(ARRAYS["out/n8/candidates"])


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5])
def test_few_instances_have_prototypes_too(count):
    rng = np.random.default_rng(count)
    chosen = PrototypeRule().choose(*rng.normal(size=(2, count, 6)))
    assert len(set(chosen)) == len(chosen) >= min(count, 1) and set(chosen) <= set(range(count))


def test_an_instance_without_features_does_no_harm():
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 9, 6))
    student[3] = 0
    assert len(PrototypeRule().choose(student, teacher)) > 0


def test_impossible_rules_are_refused():
    with pytest.raises(ConfigError, match=r"sparse_share=0\.6 in \[0, 0\.5\)"):
        PrototypeRule(sparse_share=0.6)
