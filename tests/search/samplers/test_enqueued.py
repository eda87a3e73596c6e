"""Enqueued designs: trained first and in their order, by every sampler, once each, at every rung."""

from __future__ import annotations

import pytest
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.search.loop import work
from archsearch.search.storage.study import Study

POINTS = ({"a": 5, "b": 2, "block": "dilated"}, {"a": 3, "b": 4, "block": "normal"})


def started(study: Study) -> list[tuple[object, dict[str, object]]]:
    trials = [one for one in study.trials() if one.user_attrs.get("state_reason") != "infeasible"]
    return [(one.user_attrs.get("enqueued"), dict(one.params)) for one in trials]


@pytest.mark.parametrize("sampler", ["footprint", "random", "tpe"])
def test_they_are_trained_first(study: Study, sampler: str) -> None:
    sweep = make_sweep(make_settings(sampler, trials=5), fixed={}, enqueued=POINTS)
    work(study, sweep, FakeTask(), seed=1)
    found = started(study)
    assert found[:2] == [(0, POINTS[0]), (1, POINTS[1])]
    assert [index for index, _ in found[2:]] == [None] * 3
    assert len({tuple(sorted(point.items())) for _, point in found}) == 5


def test_a_search_that_goes_on_trains_them_once(study: Study) -> None:
    for trials in (1, 3):
        work(study, make_sweep(make_settings(trials=trials), fixed={}, enqueued=POINTS), FakeTask(), seed=trials)
    assert [index for index, _ in started(study)] == [0, 1, None]


def test_they_begin_at_the_lowest_rung_and_one_that_became_infeasible_is_left_out(study: Study) -> None:
    sweep = make_sweep(
        make_settings(trials=4), fixed={}, enqueued=(POINTS[0], {"a": 2, "b": 1, "block": "normal"}), rungs=(2, 6)
    )
    work(study, sweep, FakeTask(most=6), seed=1)
    trials = [one for one in study.trials() if "enqueued" in one.user_attrs]
    assert [(one.user_attrs["enqueued"], one.user_attrs["rung"]) for one in trials] == [(1, 2)]
