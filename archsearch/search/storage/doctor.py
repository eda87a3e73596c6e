"""The doctor: `examine` finds faults in a study database and the files it refers to, `apply_fixes` repairs them.

Dead workers are detected as in a search, see `archsearch.search.heartbeat`.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from archsearch.search.heartbeat import LeaseMonitor, is_alive
from archsearch.search.storage.lock import torn_bytes
from archsearch.search.storage.optuna_internals import id_of
from archsearch.search.storage.queries import select_versions
from archsearch.search.storage.read import StudyRead, TrialRead
from archsearch.search.storage.reader import Reader
from archsearch.search.storage.readonly import Query, require_file, run_query
from archsearch.search.storage.url import Address

Kind = Literal["version", "damaged", "log", "lock", "torn", "left_running", "unseen", "files", "weights"]
STALE = 30.0  # seconds after which Optuna itself removes the lock of a journal
MOST_NUMBERS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault and its fix in words; `fixable` if `doctor --fix` repairs it.

    `trials` are the numbers of the affected trials of `study`, `workers` the workers that ran them.
    """

    kind: Kind
    what: str
    fix: str
    fixable: bool = False
    study: str | None = None
    trials: tuple[int, ...] = ()
    workers: tuple[str, ...] = ()


def examine(
    reader: Reader, *, grace: float | None = None, sleep: Callable[[float], None] = time.sleep
) -> list[Finding]:
    """Return all faults, those of the database before those of its studies.

    With `grace`, the heartbeats of workers on other machines are watched for that many seconds.
    Raises the errors of a database that cannot be read at all.
    """
    found = list(_of_database(reader.address))
    studies = [reader.study(name) for name in reader.names()]
    dead = dead_trials(reader, studies, grace=grace, sleep=sleep)
    for study in studies:
        found += _of_running(study, dead)
        found += _of_files(study)
    return found


def dead_trials(
    reader: Reader, studies: Iterable[StudyRead], *, grace: float | None, sleep: Callable[[float], None] = time.sleep
) -> dict[tuple[str, int], bool | None]:
    """Return whether the worker of each running archsearch trial is dead, by study and number; None if unknown."""
    found: dict[tuple[str, int], bool | None] = {}
    for study in studies:
        for trial in study.trials:
            if trial.state == "running" and "worker" in trial.attrs:
                worker = str(trial.attrs["worker"])
                alive = is_alive(worker) if worker else False
                found[study.name, trial.number] = None if alive is None else not alive
    unseen = {place for place, dead in found.items() if dead is None}
    if grace is None or not unseen:
        return found
    monitor, rounds = LeaseMonitor(grace), 10
    for _ in range(rounds + 2):
        for name in {name for name, _ in unseen}:
            for trial in reader.study(name).trials:
                if (name, trial.number) in unseen and _is_dead(monitor, trial):
                    found[name, trial.number] = True
        sleep(grace / rounds)
    return {place: False if place in unseen and dead is None else dead for place, dead in found.items()}


def _is_dead(monitor: LeaseMonitor, trial: TrialRead) -> bool:
    worker = str(trial.attrs.get("worker", ""))
    return trial.state == "running" and monitor.is_dead(trial.number, worker, trial.attrs.get("heartbeat"))


def _of_database(address: Address) -> Iterable[Finding]:
    if address.kind == "journal":
        yield from _of_journal(require_file(address))
        return
    versions = run_query(address, select_versions)
    if (wanted := schema_version()) != versions["schema"]:
        yield Finding(
            kind="version",
            what=f"the tables are of version {versions['schema']} (made by Optuna {versions['optuna']}), "
            f"this Optuna's are of {wanted}",
            fix=f"Keep a copy, then: optuna storage upgrade --storage {address}.",
        )
    if address.path is not None:
        state = run_query(address, _check)
        if state != "ok":
            yield Finding(
                kind="damaged",
                what=f"the file {address.path} is damaged: {state}",
                fix=f"Rescue what can be read: sqlite3 {address.path} .recover | sqlite3 rescued.db.",
            )
        log = address.path.with_name(f"{address.path.name}-wal")
        if log.exists():
            yield Finding(
                kind="log",
                what=f"{log} exists ({log.stat().st_size} bytes): a program has the database open, or was killed",
                fix="Nothing is lost: every program that opens the database reads it.",
                fixable=True,
            )


def _check(query: Query) -> str:
    return str(query("PRAGMA quick_check(1)", {})[0][0])


def schema_version() -> str:
    """Return the version of the tables that the installed Optuna uses."""
    from optuna.storages import RDBStorage

    from archsearch.search.storage.database import quiet_optuna

    quiet_optuna()
    made = RDBStorage("sqlite:///:memory:")
    try:
        return made.get_head_version()
    finally:
        made.engine.dispose()


def _of_journal(file: Path) -> Iterable[Finding]:
    if is_stale(lock := file.with_name(f"{file.name}.lock")):
        yield Finding(
            kind="lock",
            what=f"{lock} was left by a killed program; other programs wait {STALE:g} s for it",
            fix="It is removed.",
            fixable=True,
        )
    if torn := torn_bytes(file):
        yield Finding(
            kind="torn",
            what=f"the last line of {file} is incomplete ({torn} bytes): it is being written, or its writer was killed",
            fix="The incomplete line, which no program can read, is removed, so that others can append lines.",
            fixable=True,
        )


def is_stale(lock: Path) -> bool:
    """Return whether the lock of a journal, normally held for milliseconds, is older than `STALE` seconds."""
    try:
        return time.time() - lock.lstat().st_mtime > STALE
    except OSError:
        return False


def _of_running(study: StudyRead, dead: dict[tuple[str, int], bool | None]) -> Iterable[Finding]:
    is_dead = {trial.number: dead.get((study.name, trial.number)) for trial in study.trials if trial.state == "running"}
    ours = {number for number in is_dead if (study.name, number) in dead}
    left = tuple(number for number, gone in is_dead.items() if gone)
    if left:
        yield Finding(
            kind="left_running",
            what=f"{_trials(left)} left running: the worker is dead",
            fix="They wait again, and the same command resumes them from their checkpoints.",
            fixable=True,
            study=study.name,
            trials=left,
            workers=tuple(str(trial.attrs.get("worker")) for trial in study.trials if trial.number in left),
        )
    unseen = tuple(number for number, gone in is_dead.items() if number in ours and gone is None)
    if unseen:
        yield Finding(
            kind="unseen",
            what=f"{_trials(unseen)} running on another machine, or on this one before its last start",
            fix="Watch for heartbeats: --grace 120 (seconds, as study.grace).",
            study=study.name,
            trials=unseen,
        )
    others = tuple(number for number in is_dead if number not in ours)
    if others:
        yield Finding(
            kind="unseen",
            what=f"{_trials(others)} running by another program, which records no worker",
            fix="If it is dead: optuna.load_study(...).tell(NUMBER, state=TrialState.FAIL).",
            study=study.name,
            trials=others,
        )


def _of_files(study: StudyRead) -> Iterable[Finding]:
    gone: list[int] = []
    bare: list[int] = []
    elsewhere: dict[str, list[int]] = defaultdict(list)
    for trial in study.trials:
        if trial.place is None or trial.state not in ("complete", "pruned", "diverged", "failed"):
            continue
        if (folder := trial.folder()) is None:
            host = str(trial.attrs.get("location", "")).partition(":")[0]
            (gone if host in ("", socket.gethostname()) else elsewhere[host]).append(trial.number)
        elif trial.state == "complete" and not (folder / "model.safetensors").is_file():
            bare.append(trial.number)
    fix = "Train each again: python -m archsearch.study trial STUDY NUMBER prints the command."
    for host, numbers in elsewhere.items():
        yield Finding(
            kind="files",
            what=f"{_trials(numbers)} with their files on {host}, not on this machine",
            fix="Run what needs them (study export --onnx, show card=) there, or keep copies: study.artifacts=FOLDER.",
            study=study.name,
            trials=tuple(numbers),
        )
    if gone:
        yield Finding(
            kind="files",
            what=f"{_trials(gone)} without their folders (relative to {Path.cwd()})",
            fix=fix,
            study=study.name,
            trials=tuple(gone),
        )
    if bare:
        yield Finding(
            kind="weights", what=f"{_trials(bare)} without weights", fix=fix, study=study.name, trials=tuple(bare)
        )


def _trials(numbers: Iterable[int]) -> str:
    """Return `trial 3` or `trials 3, 4, 5 and 10 more`."""
    listed = list(numbers)
    shown = ", ".join(map(str, listed[:MOST_NUMBERS]))
    more = f" and {len(listed) - MOST_NUMBERS} more" if len(listed) > MOST_NUMBERS else ""
    return f"{'trial' if len(listed) == 1 else 'trials'} {shown}{more}"


def apply_fixes(reader: Reader, findings: Iterable[Finding]) -> list[str]:
    """Repair the fixable `findings` and return a sentence for each."""
    done: list[str] = []
    for finding in findings:
        if not finding.fixable:
            continue
        if finding.kind == "left_running" and finding.study is not None:
            done.append(_release(reader, finding.study, dict(zip(finding.trials, finding.workers, strict=True))))
        elif finding.kind == "log":
            done.append(_merge_log(require_file(reader.address)))
        elif finding.kind == "lock":
            done.append(_remove_lock(require_file(reader.address)))
        elif finding.kind == "torn":
            done.append(_truncate(require_file(reader.address)))
    return done


def _release(reader: Reader, name: str, workers: Mapping[int, str]) -> str:
    """Return the trials to the queue, as a stopped worker does, so that the same command resumes them."""
    from archsearch.search.storage.database import open_store
    from archsearch.search.storage.study import load_study
    from archsearch.search.storage.write import release_row

    store = open_store(reader.address.url, create=False)
    released: list[int] = []
    try:
        study = load_study(store, name)
        with store.lock():
            for trial in study.trials():
                worker = workers.get(trial.number)
                same = trial.state.name == "RUNNING" and trial.user_attrs.get("worker") == worker
                if worker is not None and same and not is_alive(worker):
                    release_row(store, id_of(trial), worker)
                    released.append(trial.number)
    finally:
        store.close()
    if not released:
        return f"{name}: another worker has resumed its trials meanwhile"
    return f"{name}: {_trials(released)} put back into the queue; the same command as before resumes them"


def _merge_log(file: Path) -> str:
    """Merge the write-ahead log into the database; SQLite removes the log unless another program has it open."""
    import contextlib
    import sqlite3

    with contextlib.closing(sqlite3.connect(file, timeout=10)) as connection:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy or file.with_name(f"{file.name}-wal").exists():
        return f"{file}: a program has it open, so its log stays"
    return f"{file}: the log is merged"


def _remove_lock(file: Path) -> str:
    lock = file.with_name(f"{file.name}.lock")
    if not is_stale(lock):
        return f"{lock}: is gone, or in use again"
    aside = lock.with_name(f"{lock.name}.{uuid.uuid4().hex}")
    lock.rename(aside)  # if two processes remove it at once, one fails here
    aside.unlink()
    return f"{lock}: removed"


def _truncate(file: Path) -> str:
    """Remove the incomplete last line of a journal, inside the lock that every writer acquires."""
    from optuna.storages.journal import JournalFileSymlinkLock

    lock = JournalFileSymlinkLock(str(file))
    lock.acquire()
    try:
        torn = torn_bytes(file)
        if torn:
            os.truncate(file, file.stat().st_size - torn)
    finally:
        lock.release()
    return (
        f"{file}: {torn} bytes of an incomplete line are removed" if torn else f"{file}: its last line is complete now"
    )
