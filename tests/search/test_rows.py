"""Trials written whole: what Optuna reads is what was said."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState
from search_fakes import make_study

from archsearch.search.storage.database import open_store
from archsearch.search.storage.read import excess_of
from archsearch.search.storage.write import Row, finish_row, read_attrs

ROW = Row(
    state="pruned",
    params={"a": 1, "block": "normal", "rate": 0.5},
    attrs={"reason": "infeasible", "run_dir": "outputs/{number}"},
    constraints={"parameters": 0.25, "macs": -0.5},
    history={1: 0.1, 2: float("nan"), 3: float("inf")},
    system={"nsga2:generation": 3},
)


@pytest.mark.parametrize("storage", ["outputs/s.db", "journal:outputs/journal.log"])
def test_a_row_is_read_back_by_optuna(storage: str) -> None:
    study = make_study(open_store(storage))
    study.write([ROW, ROW])
    trial = make_study(open_store(storage)).raw.trials[1]
    assert (trial.number, trial.state, trial.params) == (1, TrialState.PRUNED, dict(ROW.params))
    assert excess_of(trial.system_attrs) == dict(ROW.constraints)
    assert trial.user_attrs["run_dir"] == "outputs/0001"
    assert trial.system_attrs["nsga2:generation"] == 3
    assert trial.intermediate_values[1] == 0.1
    assert trial.intermediate_values[3] == float("inf")
    assert trial.datetime_start is not None
    assert trial.datetime_complete is not None


@pytest.mark.parametrize("storage", ["outputs/s.db", "journal:outputs/journal.log"])
def test_the_attributes_that_are_named_are_read_as_they_are_now(storage: str) -> None:
    study = make_study(open_store(storage))
    with study.store.lock():
        [(trial_id, _)] = study.write_locked(
            [Row(state="running", params={}, attrs={"worker": "me", "design": "long"})]
        )
    names = ("worker", "state_reason")
    assert read_attrs(study.store, trial_id, names) == {"worker": "me"}
    make_study(open_store(storage)).store.storage.set_trial_user_attr(trial_id, "worker", "somebody else")
    assert read_attrs(study.store, trial_id, names) == {"worker": "somebody else"}


@pytest.mark.parametrize("storage", ["outputs/s.db", "journal:outputs/journal.log"])
def test_a_running_row_is_finished_in_one_go(storage: str) -> None:
    study = make_study(open_store(storage))
    running = Row(state="running", params={}, attrs={"state_reason": "running", "kept": 1})
    with study.store.lock():
        [(trial_id, number)] = study.write_locked([running])
        finish_row(study.store, trial_id, "complete", {"state_reason": "complete", "seconds": 2.0}, (0.5,))
    trial = make_study(open_store(storage)).trials()[number]
    assert trial.state == TrialState.COMPLETE
    assert trial.value == 0.5
    assert {key: trial.user_attrs[key] for key in ("state_reason", "seconds", "kept")} == {
        "state_reason": "complete",
        "seconds": 2.0,
        "kept": 1,
    }
    assert trial.datetime_complete is not None
