"""The end of a trial: lost claims, missing objectives, values that are not numbers."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.pruners import NopPruner
from search_fakes import FakeTask, make_sweep

from archsearch.search.heartbeat import worker_name
from archsearch.search.queue import Claim, TrialQueue
from archsearch.search.storage.study import Study
from archsearch.search.task import Job, Outcome
from archsearch.search.trial_runner import TrialEnd, run_trial


class Measured(FakeTask):
    def __init__(self, measures: dict[str, float]) -> None:
        super().__init__()
        self.measures = measures

    def train(self, job: Job) -> Outcome:
        return replace(super().train(job), measures=self.measures)


def claimed(study: Study) -> tuple[TrialQueue, Claim]:
    queue = TrialQueue(study, make_sweep(), worker_name())
    claim = queue.claim_new(FakeTask().check({"a": 2, "b": 3, "block": "normal"}), {})
    assert claim is not None
    return queue, claim


def ended(study: Study, task: FakeTask) -> TrialEnd:
    queue, claim = claimed(study)
    return run_trial(queue, task, claim, NopPruner())


def test_the_curve_and_the_outcome_are_recorded(study: Study) -> None:
    end = ended(study, FakeTask())
    trial = study.trials()[0]
    assert (end.state, end.values) == ("complete", (0.05,))
    assert list(trial.intermediate_values) == [1, 2, 3]
    assert trial.user_attrs["note"] == "fake"
    assert trial.user_attrs["parameters"] == 5
    assert trial.constraints["parameters"] <= 0


@pytest.mark.parametrize(
    ("measures", "state", "cause"),
    [({"loss": 1.0}, "failed", "gave no value for accuracy"), ({"accuracy": float("nan")}, "diverged", "not a number")],
)
def test_missing_and_invalid_values_are_no_result(study: Study, measures: dict, state: str, cause: str) -> None:
    end = ended(study, Measured(measures))
    assert end.state == state
    assert cause in end.cause
    assert study.trials()[0].values is None


def test_a_worker_whose_trial_was_taken_over_drops_it(study: Study) -> None:
    queue, claim = claimed(study)

    def take_over(job: Job) -> None:
        study.store.storage.set_trial_user_attr(claim.trial_id, "worker", "somebody else")

    end = run_trial(queue, FakeTask(on_train=take_over), claim, NopPruner())
    assert end.state == "lost"
    assert study.trials()[0].state.name == "RUNNING"
    assert not study.trials()[0].intermediate_values


def test_a_training_that_is_lost_writes_nothing_more(study: Study) -> None:
    queue, claim = claimed(study)
    after: list[bool] = []

    class Writes(FakeTask):
        def train(self, job: Job) -> Outcome:
            study.store.storage.set_trial_user_attr(claim.trial_id, "worker", "somebody else")
            after.append(job.on_epoch(1, 0.5))  # a return would be taken for pruning, with a result in the folder
            return Outcome(measures={"accuracy": 0.5})

    assert run_trial(queue, Writes(), claim, NopPruner()).state == "lost"
    assert after == []


def test_the_end_says_on_which_machine_the_files_are(study: Study) -> None:
    ended(study, FakeTask())
    trial = study.trials()[0]
    assert trial.user_attrs["location"] == f"{socket.gethostname()}:{Path(trial.user_attrs['run_dir']).absolute()}"
    assert "artifacts" not in trial.user_attrs


def test_a_released_trial_without_its_checkpoint_says_which_machine_had_it(study: Study) -> None:
    queue, claim = claimed(study)
    study.store.storage.set_trial_intermediate_value(claim.trial_id, 3, 0.5)
    queue.release(claim)
    again = queue.claim_waiting()
    assert again is not None
    host = socket.gethostname()
    assert again.note == (
        f"trial 0 starts from the beginning: it had 3 epochs on {host}, "
        f"and its checkpoint is not in {claim.run_dir} on {host}"
    )


def test_a_trial_without_its_checkpoint_starts_anew_and_says_so(study: Study) -> None:
    queue, claim = claimed(study)
    storage = study.store.storage
    storage.set_trial_intermediate_value(claim.trial_id, 3, 0.5)
    storage.set_trial_user_attr(claim.trial_id, "worker", "alpha:abcdef:1:1")
    monitor = queue._monitor
    monitor.is_dead = lambda *of: True  # type: ignore[method-assign]
    again = queue.claim_waiting()
    assert again is not None
    assert again.resumed
    assert again.note.startswith(
        "trial 0 starts from the beginning: it had 3 epochs on alpha, and its checkpoint is not"
    )
    claim.run_dir.mkdir(parents=True)
    (claim.run_dir / "checkpoint.pt").touch()
    again = queue.claim_waiting()
    assert again is not None
    assert again.note == ""
