from __future__ import annotations

import math
import random

from study_fakes import LIMITS, make_study, make_trial, odd

from archsearch.report.series import (
    central_range,
    cost_bounds,
    curves,
    history,
    last_accuracy,
    pareto_front,
    ranked_finite,
    thinned,
    trade_off,
    trade_offs,
    value_of,
    varied_settings,
)
from archsearch.report.vocabulary import INFEASIBLE
from archsearch.search.storage.read import front_of


def test_a_history_has_the_best_so_far_and_trials_without_a_value() -> None:
    trials = [make_trial(i, values=(value,)) for i, value in enumerate((0.5, 0.4, 0.7, math.nan))]
    trials += [make_trial(4, "pruned", history={1: 0.1, 2: 0.3, 3: math.nan}), make_trial(5, INFEASIBLE)]
    found = history(make_study(trials))
    assert [(point.trial, point.y, point.kind) for point in found.points] == [
        (0, 0.5, "best"),
        (1, 0.4, "complete"),
        (2, 0.7, "best"),
        (4, 0.3, "pruned"),
    ]
    assert found.best == ((0, 0.5), (2, 0.7))
    assert found.without_value == ((5, INFEASIBLE),)
    assert last_accuracy(trials[4]) == 0.3


def test_less_is_better_where_the_study_minimises() -> None:
    trials = [make_trial(i, values=(value,)) for i, value in enumerate((0.5, 0.4, 0.7))]
    found = history(make_study(trials, objectives=("loss",), directions=("minimize",)))
    assert found.best == ((0, 0.5), (1, 0.4))


def test_the_front_of_a_trade_off_is_beaten_by_none() -> None:
    known = [(0.9, 100), (0.8, 50), (0.7, 60), (0.9, 120)]
    study = make_study([make_trial(i, values=(a,), attrs={"parameters": p}) for i, (a, p) in enumerate(known)])
    found = trade_off(study, "parameters")
    assert [point.trial for point in found.front] == [1, 0]
    assert [each.cost for each in trade_offs(study)] == ["parameters"], "no trial has MACs"


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
    assert {point.trial for point in found.front} == {0, 1} == pareto_front(study)


def test_values_that_are_no_numbers_are_in_no_front() -> None:
    study = odd()["foreign"]
    assert [trial.number for trial in ranked_finite(study)] == [0]
    assert pareto_front(study) == {0}
    assert value_of(study, study.trials[2], "parameters") is None


def test_curves_are_thinned_and_the_best_stay() -> None:
    trials = [make_trial(i, values=(i / 300,), history={1: 0.1, 2: math.nan, 3: i / 300}) for i in range(300)]
    found = curves(make_study(trials), best=3, most=20)
    assert found.total == 300
    assert len(found.drawn) == 20
    assert [(curve.trial, curve.rank) for curve in found.drawn[-3:]] == [(297, 3), (298, 2), (299, 1)]
    assert found.drawn[-1].points == ((1, 0.1), (3, 299 / 300))


def test_thinning_keeps_what_must_be_kept_and_the_order() -> None:
    found = thinned(list(range(1000)), 50, lambda item: item % 100 == 7)
    assert len(found) == 50
    assert found == sorted(found)
    assert {7, 107, 907} <= set(found)
    assert thinned([1, 2, 3], 5, lambda _: False) == [1, 2, 3]
    assert thinned([1, 2, 3], 1, lambda _: True) == [1, 2, 3]


def test_the_central_range_leaves_out_what_lies_far_off() -> None:
    assert central_range([0.8, 0.81, 0.82, 0.83, 0.84, 0.1]) == (0.8, 0.84)
    assert central_range([]) == (0.0, 1.0)
    assert central_range([3.0]) == (3.0, 3.0)


def test_settings_that_never_differ_are_not_varied_settings() -> None:
    trials = [make_trial(i, assignments={"a": i, "b": 1, "c": True if i else 1}) for i in range(2)]
    assert varied_settings(make_study(trials)) == {"a": [0, 1], "c": [1, True]}


def test_the_front_over_an_objective_is_the_studys_own() -> None:
    known = [(0.9, 100, 5), (0.8, 50, 9), (0.7, 60, 9), (0.6, 70, 3), (0.5, 80, 4)]
    study = make_study(
        [make_trial(i, values=values, attrs={"macs": 10 - i}) for i, values in enumerate(known)],
        objectives=("accuracy", "parameters", "seconds"),
        directions=("maximize", "minimize", "minimize"),
    )
    found = trade_off(study, "parameters")
    assert {point.trial for point in found.front} == pareto_front(study) == {0, 1, 3}
    assert {point.trial for point in found.points if point.kind == "best"} == pareto_front(study)
    assert found.line == ((50, 0.8), (100, 0.9)), "no other trial beats these in the two that the chart shows"
    assert {point.trial for point in trade_off(study, "macs").front} == {0, 1, 2, 3, 4}, "of accuracy and MACs alone"


def test_a_pruned_trial_that_reported_zero_has_a_value() -> None:
    assert last_accuracy(make_trial(0, "pruned", history={1: 0.5, 2: 0.0})) == 0.0


def test_bounds_of_a_cost_have_their_text() -> None:
    assert cost_bounds(make_study([], attrs={"limits_text": LIMITS}), "parameters") == {"below 200 000": 200_000.0}
    assert cost_bounds(odd()["wrong attributes"], "parameters") == {}
