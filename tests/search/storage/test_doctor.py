"""The faults that the doctor finds, and those that it fixes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from foreign_studies import make_foreign
from search_fakes import FakeTask, make_study, make_sweep

from archsearch.search.heartbeat import worker_name
from archsearch.search.loop import work
from archsearch.search.queue import TrialQueue
from archsearch.search.storage.database import Store, open_store
from archsearch.search.storage.doctor import Finding, apply_fixes, examine, schema_version
from archsearch.search.storage.reader import open_reader
from archsearch.search.storage.study import load_study
from archsearch.search.storage.write import Row
from archsearch.search.task import Job

SQLITE, JOURNAL = "sqlite:///outputs/studies.db", "journal:studies.journal"
DEAD = worker_name().rpartition(":")[0] + ":1"  # this process's number, but begun at another time
ELSEWHERE = "elsewhere:123456:7:8"


def kinds(found: list[Finding]) -> list[str]:
    return [finding.kind for finding in found]


def leave_running(store: Store, *workers: str) -> None:
    attrs = {"assignments": {"a": 1}, "run_dir": "outputs/x", "heartbeat": 5.0}
    make_study(store).write([Row(state="running", params={"a": 1}, attrs={**attrs, "worker": one}) for one in workers])


def keep_files(job: Job) -> None:
    job.run_dir.mkdir(parents=True)
    (job.run_dir / "model.safetensors").write_bytes(b"")


def test_a_sound_database_has_no_findings() -> None:
    store = open_store(SQLITE)
    work(make_study(store), make_sweep(), FakeTask(most=20, on_train=keep_files), seed=1)
    store.close()
    before = set(Path("outputs").iterdir())
    assert examine(open_reader(SQLITE)) == []
    assert set(Path("outputs").iterdir()) == before


def test_missing_files_are_reported() -> None:
    store = open_store(SQLITE)
    work(make_study(store), make_sweep(), FakeTask(on_train=keep_files), seed=1)
    store.close()
    folders = sorted(Path("outputs/sweep").iterdir())
    (folders[0] / "model.safetensors").unlink()
    for name in ("model.safetensors", ""):
        one = folders[1] / name
        one.unlink() if name else one.rmdir()
    files, weights = examine(open_reader(SQLITE))
    assert (files.kind, files.trials) == ("files", (int(folders[1].name),))
    assert (weights.kind, weights.trials) == ("weights", (int(folders[0].name),))
    assert not files.fixable


def test_a_dead_worker_is_found_and_a_remote_one_is_unknown() -> None:
    store = open_store(SQLITE)
    leave_running(store, DEAD, ELSEWHERE, worker_name(), "")
    make_foreign(store)
    store.close()
    left, unseen, others = examine(open_reader(SQLITE))
    assert (left.kind, left.trials, left.workers, left.fixable) == ("left_running", (0, 3), (DEAD, ""), True)
    assert (unseen.kind, unseen.trials, unseen.fixable) == ("unseen", (1,), False)
    assert "another program" in others.what


def test_the_heartbeats_of_a_remote_worker_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:

    store = open_store(SQLITE)
    leave_running(store, ELSEWHERE, ELSEWHERE)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        store.storage.set_trial_user_attr(
            store.storage.get_trial_id_from_study_id_trial_number(1, 1), "heartbeat", now[0]
        )

    from archsearch.search import heartbeat

    monkeypatch.setattr(heartbeat.LeaseMonitor.__init__, "__defaults__", (lambda: now[0],))
    found = {finding.kind: finding for finding in examine(open_reader(SQLITE), grace=20, sleep=sleep)}
    store.close()
    assert found["left_running"].trials == (0,)
    assert "unseen" not in found


def test_another_version_of_the_tables_is_reported() -> None:
    store = open_store(SQLITE)
    import sqlalchemy

    with store.engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = 'v2.6.0.a'"))
    store.close()
    [found] = examine(open_reader(SQLITE))
    assert found.kind == "version"
    assert found.what == (
        f"the tables are of version v2.6.0.a (made by Optuna 5.0.0), this Optuna's are of {schema_version()}"
    )


def test_a_log_of_writes_is_reported() -> None:
    store = open_store(SQLITE)
    make_study(store)
    assert kinds(examine(open_reader(SQLITE))) == ["log"]
    store.close()


def test_remnants_of_a_journal_are_reported() -> None:
    make_study(open_store(JOURNAL))
    assert examine(open_reader(JOURNAL)) == []
    with Path("studies.journal").open("ab") as opened:
        opened.write(b'{"half": ')
    Path("studies.journal.lock").symlink_to("studies.journal")
    assert kinds(examine(open_reader(JOURNAL))) == ["torn"]
    os.utime("studies.journal.lock", (1, 1), follow_symlinks=False)
    found = examine(open_reader(JOURNAL))
    assert kinds(found) == ["lock", "torn"]
    assert "(9 bytes)" in found[1].what


@pytest.mark.parametrize("storage", [SQLITE, JOURNAL])
def test_trials_of_dead_workers_are_put_back_into_the_queue(storage: str) -> None:
    store = open_store(storage)
    leave_running(store, DEAD, ELSEWHERE, worker_name(), "")
    store.close()
    reader = open_reader(storage)
    assert apply_fixes(reader, examine(reader)) == [
        "shapes-tiny: trials 0, 3 put back into the queue; the same command as before resumes them"
    ]
    assert [trial.state for trial in reader.study().trials] == ["waiting", "running", "running", "waiting"]
    assert kinds(examine(reader)) == ["unseen"]


def test_a_trial_that_was_put_back_is_resumed() -> None:
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


def test_a_trial_that_was_resumed_meanwhile_is_not_changed() -> None:
    store = open_store(SQLITE)
    leave_running(store, DEAD)
    reader = open_reader(SQLITE)
    found = [finding for finding in examine(reader) if finding.kind == "left_running"]
    store.storage.set_trial_user_attr(1, "worker", ELSEWHERE)
    assert apply_fixes(reader, found) == ["shapes-tiny: another worker has resumed its trials meanwhile"]
    assert reader.study().trials[0].state == "running"
    store.close()


def test_a_log_of_writes_is_merged_where_no_process_has_it_open() -> None:
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


def test_remnants_of_a_journal_are_removed() -> None:
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
