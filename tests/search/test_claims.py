"""Claims: one training, one worker."""

from __future__ import annotations

from typing import Any

import pytest
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.search.claims import Claim, Desk
from archsearch.search.liveness import worker_name
from archsearch.search.rows import finish_row
from archsearch.search.studies import Study
from archsearch.search.sweep import Sweep

SWEEP = make_sweep(make_settings(trials=2))


def desk(study: Study, worker: str | None = None, sweep: Sweep = SWEEP) -> Desk:
    return Desk(study, sweep, worker_name() if worker is None else worker)


def claim(at: Desk, **params: Any) -> Claim | None:
    verdict = FakeTask().check({"a": 2, "b": 3, "block": "normal", **params})
    return at.claim(verdict, {"design": "x"})


def test_a_design_is_claimed_by_one(study: Study) -> None:
    first = claim(desk(study))
    assert first is not None
    assert first.run_dir.as_posix() == "outputs/sweep/0000"
    assert claim(desk(study, "somebody else")) is None
    assert study.trials()[0].user_attrs["run_dir"] == "outputs/sweep/0000"


def test_no_more_are_claimed_than_asked_for(study: Study) -> None:
    assert claim(desk(study)) is not None
    assert claim(desk(study), b=4) is not None
    assert claim(desk(study), b=5) is None


def test_a_living_workers_trial_is_left_alone(study: Study) -> None:
    claim(desk(study))
    assert desk(study, "somebody else").take_up() is None


@pytest.mark.parametrize("worker", ["", "this:process:never:was"])
def test_a_trial_without_a_living_worker_is_taken_up_by_one(study: Study, worker: str) -> None:
    first = claim(desk(study, worker))
    assert first is not None
    taker = desk(study)
    taker._watch.grace = -1.0
    found = taker.take_up() or taker.take_up()  # the second look sees that the sign of life has not changed
    assert found is not None
    assert (found.number, found.resumed) == (0, True)
    assert taker.holds(found)
    assert not desk(study, worker).holds(first)
    assert desk(study, "a third").take_up() is None


def test_a_trial_that_another_has_done_meanwhile_is_answered(study: Study) -> None:
    claim(desk(study, ""))
    other = make_sweep(make_settings(trials=2), base=("another=command",))
    done = desk(study, sweep=other)
    study.store.storage.set_trial_user_attr(study.trials()[0]._trial_id, "worker", "")
    finished = claim(done)
    assert finished is not None
    with study.store.section():
        finish_row(study.store, finished.trial_id, "complete", {"state_reason": "complete"}, (0.5,))
    assert desk(study).take_up() is None
    first = study.trials()[0]
    assert (first.state.name, first.value, first.user_attrs["answered_by"]) == ("COMPLETE", 0.5, 1)
