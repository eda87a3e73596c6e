"""What the doctor fixes, and what it leaves alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from search_fakes import FakeTask, make_study, make_sweep
from test_doctor import DEAD, ELSEWHERE, JOURNAL, SQLITE, kinds, leave_running

from archsearch.search.heartbeat import worker_name
from archsearch.search.loop import work
from archsearch.search.queue import TrialQueue
from archsearch.search.storage.database import open_store
from archsearch.search.storage.doctor import apply_fixes, examine
from archsearch.search.storage.reader import open_reader
from archsearch.search.storage.study import load_study


@pytest.mark.parametrize("storage", [SQLITE, JOURNAL])
def test_trials_of_dead_workers_wait_again(storage: str) -> None:
    store = open_store(storage)
    leave_running(store, DEAD, ELSEWHERE, worker_name(), "")
    store.close()
    reader = open_reader(storage)
    assert apply_fixes(reader, examine(reader)) == [
        "shapes-tiny: trials 0, 3 put back into the queue; the same command as before resumes them"
    ]
    assert [trial.state for trial in reader.study().trials] == ["waiting", "running", "running", "waiting"]
    assert kinds(examine(reader)) == ["unseen"]


def test_what_waits_again_is_taken_up() -> None:
    store = open_store(SQLITE)
    sweep = make_sweep()
    leave_running(store, DEAD)
    reader = open_reader(SQLITE)
    apply_fixes(reader, examine(reader))
    claim = TrialQueue(load_study(store, "shapes-tiny"), sweep, worker_name())
    trial = load_study(store, "shapes-tiny").trials()[0]
    trial.user_attrs["sweep"] = sweep.name
    store.storage.set_trial_user_attr(trial._trial_id, "sweep", sweep.name)
    taken = claim.claim_waiting()
    store.close()
    assert taken is not None
    assert (taken.number, taken.resumed) == (0, True)


def test_a_trial_that_was_taken_up_meanwhile_is_left_alone() -> None:
    store = open_store(SQLITE)
    leave_running(store, DEAD)
    reader = open_reader(SQLITE)
    found = [finding for finding in examine(reader) if finding.kind == "left_running"]
    store.storage.set_trial_user_attr(1, "worker", ELSEWHERE)
    assert apply_fixes(reader, found) == ["shapes-tiny: another worker has resumed its trials meanwhile"]
    assert reader.study().trials[0].state == "running"
    store.close()


def test_a_log_is_folded_in_where_nobody_has_it_open() -> None:
    store = open_store(SQLITE)
    work(make_study(store), make_sweep(), FakeTask(), seed=1)
    copy = {name: Path(f"outputs/studies.db{name}").read_bytes() for name in ("", "-wal")}
    store.close()
    for name, content in copy.items():  # as a killed writer leaves them
        Path(f"outputs/studies.db{name}").write_bytes(content)
    reader = open_reader(SQLITE)
    before = reader.study()
    found = [finding for finding in examine(reader) if finding.kind == "log"]
    assert apply_fixes(reader, found) == ["outputs/studies.db: the log is merged"]
    assert not Path("outputs/studies.db-wal").exists()
    assert reader.study() == before


def test_a_log_in_use_stays() -> None:
    store = open_store(SQLITE)
    make_study(store)
    reader = open_reader(SQLITE)
    found = examine(reader)
    assert kinds(found) == ["log"]
    assert apply_fixes(reader, found) == ["outputs/studies.db: a program has it open, so its log stays"]
    assert reader.names() == ["shapes-tiny"]
    store.close()


def test_a_journals_remnants_are_taken_away() -> None:
    store = open_store(JOURNAL)
    make_study(store)
    whole = Path("studies.journal").read_bytes()
    Path("studies.journal").write_bytes(whole + b'{"half": ')
    Path("studies.journal.lock").symlink_to("studies.journal")
    os.utime("studies.journal.lock", (1, 1), follow_symlinks=False)
    reader = open_reader(JOURNAL)
    found = examine(reader)
    assert kinds(found) == ["lock", "torn"]
    assert len(apply_fixes(reader, found)) == 2
    assert Path("studies.journal").read_bytes() == whole
    assert not Path("studies.journal.lock").is_symlink()
    make_study(open_store(JOURNAL), name="another")
    assert reader.names() == ["shapes-tiny", "another"]
    assert apply_fixes(reader, found)[0].endswith("is gone, or in use again")
