"""Trials and studies as values: states, ranks, fronts, attributes of other programs, overviews."""

from __future__ import annotations

import datetime
import math

import pytest
from foreign_studies import make_empty, make_foreign
from search_fakes import FakeTask, make_study, make_sweep
from study_values import study_of, trial

from archsearch.search.loop import work
from archsearch.search.storage.database import Store
from archsearch.search.storage.read import best_of, front_of, overview_of, read_study, settings_apart, state_of
from archsearch.search.storage.reader import open_reader
from archsearch.search.storage.rows import Row
from archsearch.search.storage.study import Study, open_study


def test_a_search_is_read_with_all_attributes(study: Study) -> None:
    before = datetime.datetime.now(datetime.UTC)
    work(study, make_sweep(), FakeTask(most=20), seed=1)
    found = read_study(study.store, study.name)
    assert found.objectives == ("accuracy",)
    assert found.counts()["complete"] == 6
    best = found.ranked()[0]
    assert best.values is not None
    assert best.values[0] == max(one.values[0] for one in found.trials if one.values)
    assert best.margins[0]["limit"] == "parameters"
    assert list(best.history) == [1, 2, 3]
    assert best.finished is not None
    assert best.finished >= before.replace(microsecond=0)


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        ("COMPLETE", None, "complete"),
        ("COMPLETE", "duplicate", "duplicate"),
        ("PRUNED", "infeasible", "infeasible"),
        ("PRUNED", "too slow", "pruned"),
        ("FAIL", "complete", "failed"),
        ("RUNNING", "infeasible", "running"),
        ("WAITING", None, "waiting"),
    ],
)
def test_states(state: str, reason: str | None, expected: str) -> None:
    assert state_of(state, reason) == expected


def test_the_best_comes_first_and_no_number_is_the_worst() -> None:
    found = study_of(trial(0, math.nan), trial(1, 0.5), trial(2, 0.9), trial(3, 0.9, state="duplicate"))
    assert [one.number for one in found.ranked()] == [2, 1, 0]


def test_of_several_objectives_the_front_comes_first() -> None:
    both = ("accuracy", "macs")
    found = study_of(trial(0, 0.9, 10), trial(1, 0.8, 20), trial(2, 0.7, 5), trial(3, 0.9, 10), objectives=both)
    assert found.front() == {0, 2, 3}
    assert [one.number for one in found.ranked()] == [0, 3, 2, 1]


def test_the_front_equals_a_comparison_of_all_pairs() -> None:
    ranks = {i: (float(i * 7 % 11), float(i * 5 % 13), float(i * 3 % 7)) for i in range(60)}
    slow = {
        i
        for i, one in ranks.items()
        if not any(other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in ranks.values())
    }
    assert front_of(ranks) == slow


def test_attributes_of_other_programs_are_read(store: Store) -> None:
    make_foreign(store)
    [name] = [study.study_name for study in store.storage.get_all_studies()]
    found = read_study(store, name)
    assert found.objectives == ("value_0", "value_1")
    assert found.directions == ("minimize", "maximize")
    assert [one.state for one in found.trials] == ["complete", "complete", "failed", "waiting", "running"]
    failed = found.trials[2]
    assert (failed.margins, failed.seconds, failed.cause) == ([], None, None)
    assert trial(0, state="failed", state_reason="the disk is full").cause == "the disk is full"


def test_overviews_of_trials_and_of_tables_are_equal(store: Store) -> None:
    work(make_study(store), make_sweep(), FakeTask(most=20), seed=1)
    make_foreign(store)
    make_empty(store)
    found = open_reader().overviews()
    assert len(found) == 3
    assert found == [overview_of(read_study(store, one.name)) for one in found]
    ours, foreign, empty = found
    assert (ours.counts["complete"], ours.attrs["data"]) == (6, "shapes")
    assert ours.last is not None
    assert foreign.counts == {"complete": 2, "failed": 1, "running": 1, "waiting": 1}
    assert foreign.best is not None
    assert (foreign.best.number, foreign.best.front) == (0, 2)
    assert (empty.counts, empty.best, empty.last) == ({}, None, None)


def test_the_best_of_one_objective_is_alone() -> None:
    best = best_of({3: (0.5,), 4: (0.7,), 5: (0.7,)}, ["maximize"], {})
    assert best is not None
    assert (best.number, best.values, best.front) == (4, (0.7,), 2)
    assert best_of({}, ["maximize"], {}) is None


def test_trainings_of_fewer_epochs_are_ranked_below_all_of_more(store: Store) -> None:
    """However good they are: accuracies after different epochs are never compared."""
    values = {0: (0.9, 2), 1: (0.5, None), 2: (0.7, 4), 3: (0.6, None), 4: (0.8, 4)}
    study = make_study(store)
    rows = [
        Row(
            state="complete",
            params={"a": 1},
            attrs={"key": f"{number}", **({"rung": rung} if rung else {})},
            values=(value,),
        )
        for number, (value, rung) in values.items()
    ]
    study.write(rows)
    read = open_reader().study(study.name)
    assert [trial.number for trial in read.ranked()] == [3, 1, 4, 2, 0]
    assert read.front() == {3}
    assert [trial.number for trial in read.comparable()] == [1, 3]
    assert read.has_rungs
    (found,) = open_reader().overviews()
    assert found == overview_of(read)
    assert found.best is not None
    assert (found.best.number, found.best.values, found.best.rung) == (3, (0.6,), None)
    best = best_of({0: (0.9,), 2: (0.7,), 4: (0.8,)}, ["maximize"], {0: 2, 2: 4, 4: 4})
    assert best is not None
    assert (best.number, best.rung, best.front) == (4, 4, 1)


def test_studies_of_the_same_data_and_limits_are_told_apart_by_their_settings(store: Store) -> None:
    given = {"data": "shapes", "limits": "tiny"}
    open_study(store, **given, fingerprint="a", limits_text={"macs": {"below": 5}}, data_settings={"validation": 0.1})
    open_study(store, **given, fingerprint="b", limits_text={"macs": {"below": 5}}, data_settings={"validation": 0.2})
    open_study(store, **given, fingerprint="a", limits_text={"macs": {"below": 6}}, data_settings={"validation": 0.1})
    open_study(store, data="other", limits="tiny", fingerprint="c", data_settings={"validation": 0.3})
    found = list(settings_apart(open_reader().overviews()).values())
    assert found == [
        {"data.validation": 0.1, "constraints.macs.below": 5},
        {"data.validation": 0.2, "constraints.macs.below": 5},
        {"data.validation": 0.1, "constraints.macs.below": 6},
        {},
    ]


def test_studies_of_earlier_versions_are_told_apart_by_their_images(store: Store) -> None:
    for fingerprint in ("a", "b"):
        open_study(store, data="shapes", limits="tiny", fingerprint=fingerprint)
    found = list(settings_apart(open_reader().overviews()).values())
    assert found == [{"data_fingerprint": "a"}, {"data_fingerprint": "b"}]
