from __future__ import annotations

from study_fakes import LIMITS, make_study, make_trial, odd

from archsearch.report.series import (
    central_range,
    cost_bounds,
    last_accuracy,
    pareto_front,
    ranked_finite,
    thinned,
    value_of,
    varied_settings,
)


def test_values_that_are_no_numbers_are_in_no_front() -> None:
    study = odd()["foreign"]
    assert [trial.number for trial in ranked_finite(study)] == [0]
    assert pareto_front(study) == {0}
    assert value_of(study, study.trials[2], "parameters") is None


def test_thinning_keeps_what_must_be_kept_and_the_order() -> None:
    found = thinned(list(range(1000)), 50, lambda item: item % 100 == 7)
    assert len(found) == 50
    assert found == sorted(found)
    assert {7, 107, 907} <= set(found)
    assert thinned([1, 2, 3], 5, lambda _: False) == [1, 2, 3]
    assert thinned([1, 2, 3], 2, lambda _: True) == [1, 3], "no more than asked for, and both ends"


def test_the_central_range_leaves_out_what_lies_far_off() -> None:
    assert central_range([0.8, 0.81, 0.82, 0.83, 0.84, 0.1]) == (0.8, 0.84)
    assert central_range([]) == (0.0, 1.0)
    assert central_range([3.0]) == (3.0, 3.0)


def test_settings_that_never_differ_are_not_varied_settings() -> None:
    trials = [make_trial(i, assignments={"a": i, "b": 1, "c": True if i else 1}) for i in range(2)]
    assert varied_settings(make_study(trials)) == {"a": [0, 1], "c": [1, True]}


def test_a_pruned_trial_that_reported_zero_has_a_value() -> None:
    assert last_accuracy(make_trial(0, "pruned", history={1: 0.5, 2: 0.0})) == 0.0


def test_bounds_of_a_cost_have_their_text() -> None:
    assert cost_bounds(make_study([], attrs={"limits_text": LIMITS}), "parameters") == {"below 200 000": 200_000.0}
    assert cost_bounds(odd()["wrong attributes"], "parameters") == {}
