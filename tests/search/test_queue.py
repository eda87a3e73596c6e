"""Snapshots of a study, and claims: one worker per trial."""

from __future__ import annotations

from typing import Any

import pytest
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.search.heartbeat import worker_name
from archsearch.search.queue import Claim, Snapshots, TrialQueue, take_snapshot
from archsearch.search.storage.optuna_internals import id_of
from archsearch.search.storage.study import Study
from archsearch.search.storage.write import Row, State, finish_row
from archsearch.search.sweep import Sweep


def write_trial(study: Study, state: State, sweep: str = "s", **attrs: Any) -> int:
    values = (0.5,) if state == "complete" else None
    return study.write([Row(state=state, params={}, attrs={"sweep": sweep, **attrs}, values=values)])[0]


def test_trials_are_grouped_by_their_state(study: Study) -> None:
    write_trial(study, "complete", key="a", state_reason="complete")
    write_trial(study, "pruned", key="b", state_reason="diverged")
    write_trial(study, "pruned", state_reason="infeasible")
    write_trial(study, "fail", key="c", state_reason="failed")
    write_trial(study, "running", key="d", worker="w")
    write_trial(study, "waiting", key="e", worker="")
    write_trial(study, "complete", key="a", state_reason="duplicate")
    write_trial(study, "complete", sweep="other", key="f", state_reason="complete")
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


def test_later_snapshots_of_a_growing_study_are_those_of_the_whole(study: Study) -> None:
    snapshots = Snapshots("s", is_dead=lambda trial: False, retry_failed=False)
    first = write_trial(study, "running", key="a", worker="w")
    write_trial(study, "fail", key="b", state_reason="failed")
    assert snapshots.take(study.trials()) == take_snapshot(study.trials(), "s")
    write_trial(study, "complete", key="b", state_reason="complete")
    write_trial(study, "pruned", key=["no", "text"], state_reason="pruned")
    assert snapshots.take(study.trials()) == take_snapshot(study.trials(), "s")
    with study.store.lock():
        finish_row(study.store, id_of(study.trials()[first]), "complete", {"state_reason": "complete"}, (0.5,))
    last = snapshots.take(study.trials())
    assert last == take_snapshot(study.trials(), "s")
    assert [trial.number for trial in last.trained] == [0, 2, 3]
    assert last.known["b"].number == 2


def test_failed_designs_are_unknown_where_they_are_retried(study: Study) -> None:
    write_trial(study, "fail", key="c", state_reason="failed")
    assert not take_snapshot(study.trials(), "s", retry_failed=True).known


def test_unfinished_trials_of_another_sweep_do_not_count_as_known(study: Study) -> None:
    write_trial(study, "running", sweep="other", key="a", worker="gone")
    write_trial(study, "waiting", sweep="other", key="b")
    assert list(take_snapshot(study.trials(), "s", is_dead=lambda trial: False).known) == ["a"]
    assert not take_snapshot(study.trials(), "s", is_dead=lambda trial: True).known


def test_failures_count_in_a_row_and_since_this_run_began(study: Study) -> None:
    for state in ("fail", "complete", "fail", "fail"):
        write_trial(study, state, key=state, state_reason=state)
    snapshot = take_snapshot(study.trials(), "s")
    assert [trial.number for trial in snapshot.failures_in_a_row(0)] == [2, 3]
    assert [trial.number for trial in snapshot.failures_in_a_row(3)] == [3]


SWEEP = make_sweep(make_settings(trials=2))


def queue(study: Study, worker: str | None = None, sweep: Sweep = SWEEP) -> TrialQueue:
    return TrialQueue(study, sweep, worker_name() if worker is None else worker)


def claim(at: TrialQueue, **params: Any) -> Claim | None:
    candidate = FakeTask().check({"a": 2, "b": 3, "block": "normal", **params})
    return at.claim_new(candidate, {"design": "x"})


def test_a_design_is_claimed_by_one_worker(study: Study) -> None:
    first = claim(queue(study))
    assert first is not None
    assert first.run_dir.as_posix() == "outputs/sweep/0000"
    assert claim(queue(study, "somebody else")) is None
    assert study.trials()[0].user_attrs["run_dir"] == "outputs/sweep/0000"


def test_no_more_are_claimed_than_asked_for(study: Study) -> None:
    assert claim(queue(study)) is not None
    assert claim(queue(study), b=4) is not None
    assert claim(queue(study), b=5) is None


def test_the_trial_of_a_living_worker_is_not_claimed(study: Study) -> None:
    claim(queue(study))
    assert queue(study, "somebody else").claim_waiting() is None


@pytest.mark.parametrize("worker", ["", "this:process:never:was"])
def test_the_trial_of_a_dead_worker_is_claimed_by_one_worker(study: Study, worker: str) -> None:
    first = claim(queue(study, worker))
    assert first is not None
    taker = queue(study)
    taker._monitor.grace = -1.0
    found = taker.claim_waiting() or taker.claim_waiting()  # at the second call the heartbeat has not changed
    assert found is not None
    assert (found.number, found.resumed) == (0, True)
    assert taker.holds(found)
    assert not queue(study, worker).holds(first)
    assert queue(study, "a third").claim_waiting() is None


def test_a_trial_whose_training_another_has_finished_becomes_a_duplicate(study: Study) -> None:
    claim(queue(study, ""))
    other = make_sweep(make_settings(trials=2), base=("another=command",))
    done = queue(study, sweep=other)
    study.store.storage.set_trial_user_attr(study.trials()[0]._trial_id, "worker", "")
    finished = claim(done)
    assert finished is not None
    with study.store.lock():
        finish_row(study.store, finished.trial_id, "complete", {"state_reason": "complete"}, (0.5,))
    assert queue(study).claim_waiting() is None
    first = study.trials()[0]
    assert (first.state.name, first.value, first.user_attrs["duplicate_of"]) == ("COMPLETE", 0.5, 1)
