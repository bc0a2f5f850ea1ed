"""When a term acts, and how strongly."""

from typing import get_args

import numpy as np
import pytest

from jld.distill.schedule import DECAYS, Decay, TermSchedule
from jld.errors import ConfigError


def factors(steps=12, **settings):
    schedule = TermSchedule(**settings)
    return [schedule.factor(step) for step in range(steps)]


def test_without_settings_a_term_acts_always_and_fully():
    assert factors() == [1.0] * 12
    assert TermSchedule.from_config(None).describe() == ""


def test_start_and_stop_are_a_window():
    assert factors(start=3, stop=6) == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]


def test_warmup_rises_in_a_line_to_the_full_weight():
    np.testing.assert_allclose(factors(6, start=1, warmup=3), [0, 0.25, 0.5, 0.75, 1, 1])


def test_decay_goes_from_the_end_of_the_warmup_to_zero_at_the_stop():
    linear = factors(start=1, warmup=1, stop=6, decay="linear")
    np.testing.assert_allclose(linear[:7], [0, 0.5, 1, 0.75, 0.5, 0.25, 0])
    cosine = factors(stop=8, decay="cosine")
    np.testing.assert_allclose(cosine[:9], [*(0.5 + 0.5 * np.cos(np.pi * np.arange(8) / 8)), 0], atol=1e-12)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (dict(decay="cosin"), "did you mean 'cosine'"),
        (dict(decay="linear"), "give the schedule a `stop`"),
        (dict(start=10, warmup=5, stop=15), "`stop` must lie behind start"),
        (dict(start=-1), "start=-1: it must be at least 0"),
        (dict(warmup=-2), "warmup=-2: it must be at least 0"),
        (dict(begin=3), "no argument 'begin'"),
        (dict(start=1.5), "start=1.5: steps are whole"),
    ],
)
def test_impossible_schedules_are_refused(section, said):
    with pytest.raises(ConfigError, match=said):
        TermSchedule.from_config(section)


def test_a_share_needs_the_length_of_the_training():
    with pytest.raises(ValueError, match="make steps of them"):
        TermSchedule(start=0.1, stop=7).factor(3)


def test_every_decay_can_be_named():
    assert tuple(DECAYS) == get_args(Decay)


def test_description_names_what_is_not_usual():
    assert TermSchedule(start=5, stop=9, decay="linear").describe() == "start=5, stop=9, decay=linear"
