"""A training is shortened by one number, and everything that begins or ends at a step of it follows."""

import pytest

from jld.config import Config, fill_defaults
from jld.config.lengths import begun_at_once, in_steps, scaled_lengths
from jld.errors import ConfigError


def config(factor, **changes):
    values = dict(
        model=dict(type="Any"),
        max_iter=180000,
        checkpoint_iters=5000,
        schedule_factor=factor,
        scheduler=dict(
            student=dict(type="StepLR", milestones=[120000, 160000], warmup_iters=1000),
            teacher=dict(type="StepLR", milestones=[3], by_epoch=True),
        ),
        optimizer=dict(
            student=dict(type="SGD", match="*", parameter_groups=[dict(match="backbone.*", start=20000)]),
            teacher=dict(type="SGD", match="distill.*"),
        ),
        distill=dict(
            teacher=dict(type="LabelGuidedTeacher"),
            terms=[dict(type="InstructiveMSE", schedule=dict(start=30000, stop=130001)), dict(type="PKD")],
        ),
    )
    return fill_defaults(Config(values | changes))


def test_every_length_follows_the_factor():
    scaled = scaled_lengths(config(1 / 3))
    assert (scaled.max_iter, scaled.checkpoint_iters) == (60000, 1667)
    student, teacher = scaled.scheduler.student, scaled.scheduler.teacher
    assert (student.milestones, student.warmup_iters, teacher.milestones) == ([40000, 53334], 334, [1])
    assert scaled.optimizer.student.parameter_groups[0].start == 6667
    # The released rule rests in steps above total - 50000: the first of them is rounded up.
    term = scaled.distill.terms[0].schedule
    assert (term["start"], term["stop"]) == (10000, 43334)
    assert scaled.schedule_factor == 1.0, "the saved config must not be shortened twice"
    again = scaled_lengths(Config(scaled))
    assert again == scaled


def test_shares_are_of_the_whole_training_and_follow_it():
    schedule = dict(start=1 / 6, stop=0.75, warmup=100)
    terms = [dict(type="InstructiveMSE", schedule=schedule), dict(type="PKD", schedule=dict(start=0))]
    groups = [dict(match="backbone.*", start=1 / 9), dict(match="neck.*", start=3)]
    given = config(
        0.5,
        scheduler=None,
        optimizer=dict(type="SGD", parameter_groups=groups),
        distill=dict(teacher=dict(type="LabelGuidedTeacher"), terms=terms),
    )
    shortened = scaled_lengths(given)
    found = in_steps(shortened, shortened.max_iter)
    assert [group.start for group in found.optimizer.parameter_groups] == [10000, 2]
    first, second = (term.schedule for term in found.distill.terms)
    assert (first.start, first.stop, first.warmup, second.start) == (15000, 67500, 50, 0)
    assert shortened.distill.terms[0].schedule.start == 1 / 6, "the config itself keeps its shares"


def test_a_decay_over_epochs_follows_the_factor():
    terms = [dict(type="PKD", schedule=dict(type="EpochDecay", epochs=24))]
    given = config(0.5, scheduler=None, distill=dict(teacher=dict(config="t.py"), terms=terms))
    assert scaled_lengths(given).distill.terms[0].schedule.epochs == 12


def test_a_few_steps_show_every_phase():
    given = config(1.0)
    given.distill.terms.append(dict(type="PKD", schedule=dict(start=0.5, stop=9, warmup=7, decay="linear")))
    found = begun_at_once(given)
    assert found.optimizer.student.parameter_groups[0].start == 1
    assert [dict(term.schedule) for term in (found.distill.terms[0], found.distill.terms[2])] == [
        dict(start=1, stop=130001),
        dict(start=0.5, stop=9, warmup=1, decay="linear"),
    ]
    assert given.distill.terms[0].schedule.start == 30000
    assert begun_at_once(config(1.0, optimizer=None, distill=None)).max_iter == 180000


def test_the_factor_one_changes_nothing():
    assert scaled_lengths(config(1.0)) == config(1.0)


def test_epochs_stay_whole():
    epochs = dict(max_iter=None, max_epoch=12, optimizer=None, distill=None, checkpoint_iters=None)
    section = dict(type="StepLR", milestones=[8, 11], warmup_iters=500)
    doubled = scaled_lengths(config(2, scheduler=section, **epochs))
    assert (doubled.max_epoch, doubled.scheduler.milestones) == (24, [16, 22])
    with pytest.raises(ConfigError, match=r"makes 5\.5 of 11 epochs: choose a factor"):
        scaled_lengths(config(0.5, scheduler=section, **epochs))


@pytest.mark.parametrize("factor", [0, -1.0])
def test_a_factor_that_leaves_nothing_is_refused(factor):
    with pytest.raises(ConfigError, match="must be above 0"):
        scaled_lengths(config(factor))
