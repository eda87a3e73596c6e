"""The doctor's fixes: each looks once more before it changes anything, and none loses a result.

Imports optuna inside functions only.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from archsearch.search.doctor import Finding, is_stale, torn_bytes
from archsearch.search.liveness import is_alive
from archsearch.search.reader import Reader
from archsearch.search.snapshot import require_file


def heal(reader: Reader, findings: Iterable[Finding]) -> list[str]:
    """Fix what can be fixed of `findings` and return what was done, in sentences."""
    said: list[str] = []
    for finding in findings:
        if not finding.healable:
            continue
        if finding.kind == "left_running" and finding.study is not None:
            said.append(_give_back(reader, finding.study, dict(zip(finding.trials, finding.workers, strict=True))))
        elif finding.kind == "log":
            said.append(_fold_log(require_file(reader.address)))
        elif finding.kind == "lock":
            said.append(_take_lock(require_file(reader.address)))
        elif finding.kind == "torn":
            said.append(_cut(require_file(reader.address)))
    return said


def _give_back(reader: Reader, name: str, workers: Mapping[int, str]) -> str:
    """Let the trials wait again, as a worker does that is stopped, so that the same command takes them up."""
    from optuna.trial import TrialState

    from archsearch.search.store import open_store
    from archsearch.search.studies import load_study

    store = open_store(reader.address.url, create=False)
    given: list[int] = []
    try:
        study = load_study(store, name)
        with store.section():
            for trial in study.trials():
                worker = workers.get(trial.number)
                same = trial.state.name == "RUNNING" and trial.user_attrs.get("worker") == worker
                if worker is not None and same and not is_alive(worker):
                    store.storage.set_trial_user_attr(trial._trial_id, "worker", "")
                    store.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
                    given.append(trial.number)
    finally:
        store.close()
    if not given:
        return f"{name}: its trials had been taken up meanwhile"
    return f"{name}: trial {', '.join(map(str, given))} waits again; the same command as before takes it up"


def _fold_log(file: Path) -> str:
    """Fold the log of writes into the database; SQLite takes the log away where nobody else has it open."""
    import contextlib
    import sqlite3

    with contextlib.closing(sqlite3.connect(file, timeout=10)) as connection:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy or file.with_name(f"{file.name}-wal").exists():
        return f"{file}: a program has it open, so its log stays"
    return f"{file}: the log is folded in"


def _take_lock(file: Path) -> str:
    lock = file.with_name(f"{file.name}.lock")
    if not is_stale(lock):
        return f"{lock}: is gone or in use again"
    aside = lock.with_name(f"{lock.name}.{uuid.uuid4().hex}")
    lock.rename(aside)  # of two that take it away at once, one fails here
    aside.unlink()
    return f"{lock}: taken away"


def _cut(file: Path) -> str:
    """Cut half a line off the journal, holding the lock that every writer takes."""
    from optuna.storages.journal import JournalFileSymlinkLock

    lock = JournalFileSymlinkLock(str(file))
    lock.acquire()
    try:
        torn = torn_bytes(file)
        if torn:
            os.truncate(file, file.stat().st_size - torn)
    finally:
        lock.release()
    return f"{file}: {torn} bytes of half a line are cut off" if torn else f"{file}: its last line is whole now"
