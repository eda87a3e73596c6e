"""Faults of the machine during a search: no design fails by them, no trial is lost, and the user is informed."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy.exc
from search_fakes import FakeTask, make_settings, make_study, make_sweep

from archsearch.errors import DataError, RunError
from archsearch.search import queue as queues
from archsearch.search.loop import Event, work
from archsearch.search.storage.database import StudyLost, open_store
from archsearch.search.storage.study import Study
from archsearch.search.task import Job, Outcome

LOCKED = sqlalchemy.exc.OperationalError("UPDATE", {}, sqlite3.OperationalError("database is locked"))
FULL = OSError(errno.ENOSPC, "No space left on device", "weights")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archsearch.search.faults.FIRST_PAUSE", 0.01)


def states(study: Study) -> list[str]:
    return [trial.state.name for trial in study.trials()]


def search(study: Study, task: FakeTask, *, trials: int = 3, patience: float = 60.0) -> list[str]:
    """Search and return the notes."""
    events: list[Event] = []
    sweep = make_sweep(make_settings(trials=trials, patience=patience))
    try:
        work(study, sweep, task, listen=events.append, seed=1)
    finally:
        notes = [event.text for event in events if event.kind == "note"]
    return notes


def raising(errors: list[Exception]) -> Callable[[Job], None]:
    def fail(job: Job) -> None:
        if errors:
            raise errors.pop(0)

    return fail


@pytest.mark.parametrize("error", [FULL, OSError(errno.EROFS, "Read-only file system"), DataError("no images")])
def test_a_trial_waits_until_the_fault_has_passed(study: Study, error: Exception) -> None:
    task = FakeTask(on_train=raising([error, error, error]))
    notes = search(study, task)
    assert states(study) == ["COMPLETE"] * 3
    assert task.resumed == [0, 0, 0]
    assert len(notes) == 2
    assert "waiting" in notes[0]
    assert "passed" in notes[1]


def test_a_lasting_fault_ends_the_search_and_the_trial_waits(study: Study) -> None:
    with pytest.raises(RunError, match=r"weights: No space left on device, after .*study\.patience") as caught:
        search(study, FakeTask(on_train=raising([FULL] * 99)), patience=0.05)
    assert caught.value.exit_code == 1
    assert states(study) == ["WAITING"]
    search(study, task := FakeTask())
    assert states(study) == ["COMPLETE"] * 3
    assert task.resumed == [0]


def test_epochs_that_cannot_be_recorded_do_not_end_a_training(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, errors = study.store.storage, [LOCKED, LOCKED]
    write = storage.set_trial_intermediate_value

    def locked(trial_id: int, step: int, value: float) -> None:
        if errors:
            raise errors.pop()
        write(trial_id, step, value)

    monkeypatch.setattr(storage, "set_trial_intermediate_value", locked)
    search(study, task := FakeTask(), trials=1)
    assert len(task.trained) == 1
    assert not task.resumed
    assert list(study.trials()[0].intermediate_values) == [1, 2, 3]


def once(function: Callable[..., object], *, before: bool) -> Callable[..., object]:
    """Return the function with a database that does not answer its first call, or breaks off after it."""
    calls: list[int] = []

    def called(*arguments: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 1 and before:
            raise LOCKED
        found = function(*arguments, **named)
        if len(calls) == 1:
            raise LOCKED
        return found

    return called


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("name", ["claim_new", "claim_waiting", "finish", "snapshot", "holds"])
def test_no_trial_is_lost_where_the_database_breaks_off(
    study: Study, monkeypatch: pytest.MonkeyPatch, name: str, before: bool
) -> None:
    monkeypatch.setattr(queues.TrialQueue, name, once(getattr(queues.TrialQueue, name), before=before))
    search(study, task := FakeTask())
    assert states(study) == ["COMPLETE"] * 3
    assert len(task.trained) + len(task.resumed) >= 3
    assert len(task.trained) <= 3
    assert {trial.user_attrs["state_reason"] for trial in study.trials()} == {"complete"}


def test_a_locked_database_is_waited_for(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archsearch.search.storage.database.SEARCH_SECONDS", 0.05)
    slim = make_study(open_store(slim=True))
    other = sqlite3.connect("outputs/studies.db", isolation_level=None, check_same_thread=False)

    def lock(job: Job) -> None:
        if not job.number:
            other.execute("BEGIN EXCLUSIVE")
            threading.Timer(1.5, lambda: other.execute("ROLLBACK")).start()

    notes = search(slim, task := FakeTask(on_train=lock))
    assert states(study) == ["COMPLETE"] * 3
    assert len(task.trained) == 3
    assert any("database is locked" in note for note in notes)
    other.close()


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_a_database_that_is_deleted_or_replaced_ends_the_search(study: Study, replaced: bool, last: bool) -> None:
    class Deleting(FakeTask):
        def train(self, job: Job) -> Outcome:
            found = super().train(job) if last else None
            for name in ("studies.db", "studies.db-wal", "studies.db-shm"):
                Path("outputs", name).unlink(missing_ok=True)
            if replaced:
                make_study(open_store()).store.close()
            return found or super().train(job)

    with pytest.raises(StudyLost, match="replaced" if replaced else "deleted") as caught:
        search(study, Deleting(), trials=1)
    assert caught.value.exit_code == 1


def test_a_trial_that_vanishes_ends_the_search(study: Study) -> None:
    def restore(job: Job) -> None:
        with sqlite3.connect("outputs/studies.db") as connection:  # as a copy of yesterday, put in its place
            connection.execute("DELETE FROM trial_user_attributes")

    with pytest.raises(StudyLost, match=r"trial 0 has vanished"):
        search(study, FakeTask(on_train=restore), trials=1)


def test_a_wait_ends_with_a_signal(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archsearch.search.faults.FIRST_PAUSE", 600.0)
    began = time.monotonic()
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))

    def fail(job: Job) -> None:
        timer.start()
        raise FULL

    with pytest.raises(KeyboardInterrupt):
        search(study, FakeTask(on_train=fail), patience=600)
    assert time.monotonic() - began < 300
    assert states(study) == ["WAITING"]


def test_the_memory_that_other_processes_fill_is_waited_for_with_the_whole_batch(study: Study) -> None:
    from archsearch.errors import DeviceMemoryError

    text = (
        "(CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.00 GiB is "
        "free. Including non-PyTorch memory, this process has 1.20 GiB memory in use.)"
    )
    seen: list[object] = []

    def fill(job: Job) -> None:
        seen.append(job.candidate.experiment.get("halved"))
        if len(seen) < 3:
            raise DeviceMemoryError(text)

    search(study, FakeTask(on_train=fill), trials=1)
    assert seen == [None, None, None]
    assert states(study) == ["COMPLETE"]
    assert "batch" not in study.trials()[0].user_attrs


def test_other_workers_are_not_taken_for_dead_after_the_database_was_away(study: Study) -> None:
    sweep = make_sweep(replace(make_settings(), grace=0.3, heartbeat=0.1))
    queue = queues.TrialQueue(study, sweep, "another:host:1:1")
    claim = queue.claim_new(FakeTask().check({"a": 2, "b": 3, "block": "normal"}), {})
    assert claim is not None
    watcher = queues.TrialQueue(study, sweep, "me:host:1:1")
    assert not watcher.is_dead(study.trials()[0])
    time.sleep(0.5)  # nobody could write a heartbeat
    watcher.release_own()  # the first that succeeds after a fault
    assert not watcher.is_dead(study.trials()[0])
    time.sleep(0.5)
    assert watcher.is_dead(study.trials()[0])
