"""Claims: one training, one worker."""

from __future__ import annotations

from typing import Any

import pytest
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.search.heartbeat import worker_name
from archsearch.search.queue import Claim, TrialQueue
from archsearch.search.storage.study import Study
from archsearch.search.storage.write import finish_row
from archsearch.search.sweep import Sweep

SWEEP = make_sweep(make_settings(trials=2))


def queue(study: Study, worker: str | None = None, sweep: Sweep = SWEEP) -> TrialQueue:
    return TrialQueue(study, sweep, worker_name() if worker is None else worker)


def claim(at: TrialQueue, **params: Any) -> Claim | None:
    candidate = FakeTask().check({"a": 2, "b": 3, "block": "normal", **params})
    return at.claim_new(candidate, {"design": "x"})


def test_a_design_is_claimed_by_one(study: Study) -> None:
    first = claim(queue(study))
    assert first is not None
    assert first.run_dir.as_posix() == "outputs/sweep/0000"
    assert claim(queue(study, "somebody else")) is None
    assert study.trials()[0].user_attrs["run_dir"] == "outputs/sweep/0000"


def test_no_more_are_claimed_than_asked_for(study: Study) -> None:
    assert claim(queue(study)) is not None
    assert claim(queue(study), b=4) is not None
    assert claim(queue(study), b=5) is None


def test_a_living_workers_trial_is_left_alone(study: Study) -> None:
    claim(queue(study))
    assert queue(study, "somebody else").claim_waiting() is None


@pytest.mark.parametrize("worker", ["", "this:process:never:was"])
def test_a_trial_without_a_living_worker_is_taken_up_by_one(study: Study, worker: str) -> None:
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


def test_a_trial_that_another_has_done_meanwhile_is_answered(study: Study) -> None:
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
