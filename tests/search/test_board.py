"""How a study stands, read off its trials."""

from __future__ import annotations

from typing import Any

from archsearch.search.queue import take_snapshot
from archsearch.search.storage.study import Study
from archsearch.search.storage.write import Row, State


def write(study: Study, state: State, sweep: str = "s", **attrs: Any) -> int:
    values = (0.5,) if state == "complete" else None
    return study.write([Row(state=state, params={}, attrs={"sweep": sweep, **attrs}, values=values)])[0]


def test_trials_are_sorted_by_what_became_of_them(study: Study) -> None:
    write(study, "complete", key="a", state_reason="complete")
    write(study, "pruned", key="b", state_reason="diverged")
    write(study, "pruned", state_reason="infeasible")
    write(study, "fail", key="c", state_reason="failed")
    write(study, "running", key="d", worker="w")
    write(study, "waiting", key="e", worker="")
    write(study, "complete", key="a", state_reason="duplicate")
    write(study, "complete", sweep="other", key="f", state_reason="complete")
    snapshot = take_snapshot(study.trials(), "s")
    numbers = [
        [trial.number for trial in part]
        for part in (snapshot.trained, snapshot.failed, snapshot.running, snapshot.waiting)
    ]
    assert numbers == [[0, 1], [3], [4], [5]]
    assert (snapshot.infeasible, snapshot.taken) == (1, 4)
    assert {key: trial.number for key, trial in snapshot.known.items()} == {
        "a": 0,
        "b": 1,
        "c": 3,
        "d": 4,
        "e": 5,
        "f": 7,
    }


def test_failed_designs_are_unknown_where_they_are_tried_again(study: Study) -> None:
    write(study, "fail", key="c", state_reason="failed")
    assert not take_snapshot(study.trials(), "s", retry_failed=True).known


def test_what_another_sweep_left_behind_answers_for_nothing(study: Study) -> None:
    write(study, "running", sweep="other", key="a", worker="gone")
    write(study, "waiting", sweep="other", key="b")
    assert list(take_snapshot(study.trials(), "s", is_dead=lambda trial: False).known) == ["a"]
    assert not take_snapshot(study.trials(), "s", is_dead=lambda trial: True).known


def test_failures_count_in_a_row_and_since_this_run_began(study: Study) -> None:
    for state in ("fail", "complete", "fail", "fail"):
        write(study, state, key=state, state_reason=state)
    snapshot = take_snapshot(study.trials(), "s")
    assert [trial.number for trial in snapshot.failures_in_a_row(0)] == [2, 3]
    assert [trial.number for trial in snapshot.failures_in_a_row(3)] == [3]
