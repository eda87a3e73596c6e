"""What the doctor finds: dead workers, missing files, remnants; nothing where nothing is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from foreign_studies import make_foreign
from search_fakes import FakeTask, make_study, make_sweep

from archsearch.search.heartbeat import worker_name
from archsearch.search.loop import work
from archsearch.search.storage.database import Store, open_store
from archsearch.search.storage.doctor import Finding, examine, schema_version
from archsearch.search.storage.reader import open_reader
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


def test_a_sound_database_has_nothing() -> None:
    store = open_store(SQLITE)
    work(make_study(store), make_sweep(), FakeTask(most=20, on_train=keep_files), seed=1)
    store.close()
    before = set(Path("outputs").iterdir())
    assert examine(open_reader(SQLITE)) == []
    assert set(Path("outputs").iterdir()) == before


def test_files_that_are_gone_are_named() -> None:
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


def test_a_dead_worker_is_seen_and_a_distant_one_is_not() -> None:
    store = open_store(SQLITE)
    leave_running(store, DEAD, ELSEWHERE, worker_name(), "")
    make_foreign(store)
    store.close()
    left, unseen, others = examine(open_reader(SQLITE))
    assert (left.kind, left.trials, left.workers, left.fixable) == ("left_running", (0, 3), (DEAD, ""), True)
    assert (unseen.kind, unseen.trials, unseen.fixable) == ("unseen", (1,), False)
    assert "another program" in others.what


def test_a_distant_workers_signs_of_life_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:

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


def test_another_version_of_the_tables_is_told() -> None:
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


def test_a_log_of_writes_is_told() -> None:
    store = open_store(SQLITE)
    make_study(store)
    assert kinds(examine(open_reader(SQLITE))) == ["log"]
    store.close()


def test_a_journals_remnants() -> None:
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
