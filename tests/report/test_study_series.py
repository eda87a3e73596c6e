from __future__ import annotations

import math
import random

import pytest
from study_fakes import make_study, make_trial, odd

from archsearch.report.study_series import (
    course,
    curves,
    finite,
    front,
    last_seen,
    measured,
    sound,
    thinned,
    trade_off,
    trade_offs,
    varied,
    window,
)
from archsearch.search.storage.read import front_of


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, 1e308, True, None, "3", [1]])
def test_what_is_no_number_is_none(value: object) -> None:
    assert finite(value) is None
    assert finite(3) == 3.0


def test_a_course_has_the_best_so_far_and_what_ended_otherwise() -> None:
    trials = [make_trial(i, values=(value,)) for i, value in enumerate((0.5, 0.4, 0.7, math.nan))]
    trials += [make_trial(4, "pruned", history={1: 0.1, 2: 0.3, 3: math.nan}), make_trial(5, "infeasible")]
    found = course(make_study(trials))
    assert [(point.trial, point.y, point.kind) for point in found.points] == [
        (0, 0.5, "best"),
        (1, 0.4, "complete"),
        (2, 0.7, "best"),
        (4, 0.3, "pruned"),
    ]
    assert found.record == ((0, 0.5), (2, 0.7))
    assert found.ends == ((5, "infeasible"),)
    assert last_seen(trials[4]) == 0.3


def test_less_is_better_where_the_study_minimises() -> None:
    trials = [make_trial(i, values=(value,)) for i, value in enumerate((0.5, 0.4, 0.7))]
    found = course(make_study(trials, objectives=("loss",), directions=("minimize",)))
    assert found.record == ((0, 0.5), (1, 0.4))


def test_the_front_of_a_trade_off_is_beaten_by_none() -> None:
    known = [(0.9, 100), (0.8, 50), (0.7, 60), (0.9, 120)]
    study = make_study([make_trial(i, values=(a,), attrs={"parameters": p}) for i, (a, p) in enumerate(known)])
    found = trade_off(study, "parameters")
    assert [point.trial for point in found.front] == [1, 0]
    assert [each.cost for each in trade_offs(study)] == ["parameters"], "no trial says its MACs"


def test_the_front_is_the_one_of_every_pair_against_every_other() -> None:
    draw = random.Random(3)
    known = [(draw.randrange(12) / 12, draw.randrange(12)) for _ in range(80)]
    study = make_study([make_trial(i, values=(a,), attrs={"parameters": p}) for i, (a, p) in enumerate(known)])
    expected = front_of({i: (-a, float(p)) for i, (a, p) in enumerate(known)})
    assert {point.trial for point in trade_off(study, "parameters").front} == expected


def test_an_objective_of_which_more_is_better_is_no_cost() -> None:
    known = [(0.9, 40), (0.8, 90), (0.7, 60)]
    study = make_study(
        [make_trial(i, values=each) for i, each in enumerate(known)],
        objectives=("accuracy", "receptive_field"),
        directions=("maximize", "maximize"),
    )
    [found] = trade_offs(study)
    assert not found.is_less_better
    assert {point.trial for point in found.front} == {0, 1} == front(study)


def test_values_that_are_no_numbers_are_in_no_front() -> None:
    study = odd()["foreign"]
    assert [trial.number for trial in sound(study)] == [0]
    assert front(study) == {0}
    assert measured(study, study.trials[2], "parameters") is None


def test_curves_are_thinned_and_the_best_stay() -> None:
    trials = [make_trial(i, values=(i / 300,), history={1: 0.1, 2: math.nan, 3: i / 300}) for i in range(300)]
    found = curves(make_study(trials), named=3, most=20)
    assert found.total == 300
    assert len(found.drawn) == 20
    assert [(curve.trial, curve.place) for curve in found.drawn[-3:]] == [(297, 3), (298, 2), (299, 1)]
    assert found.drawn[-1].points == ((1, 0.1), (3, 299 / 300))


def test_thinning_keeps_what_must_be_kept_and_the_order() -> None:
    found = thinned(list(range(1000)), 50, lambda item: item % 100 == 7)
    assert len(found) == 50
    assert found == sorted(found)
    assert {7, 107, 907} <= set(found)
    assert thinned([1, 2, 3], 5, lambda _: False) == [1, 2, 3]
    assert thinned([1, 2, 3], 1, lambda _: True) == [1, 2, 3]


def test_the_window_leaves_out_what_lies_far_off() -> None:
    assert window([0.8, 0.81, 0.82, 0.83, 0.84, 0.1]) == (0.8, 0.84)
    assert window([]) == (0.0, 1.0)
    assert window([3.0]) == (3.0, 3.0)


def test_settings_that_never_differ_are_not_varied() -> None:
    trials = [make_trial(i, assignments={"a": i, "b": 1, "c": True if i else 1}) for i in range(2)]
    assert varied(make_study(trials)) == {"a": [0, 1], "c": [1, True]}
