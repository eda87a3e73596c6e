"""The doctor: what is wrong with a study database and the files it names; looks only, `healing` fixes.

Whether a worker is dead is judged as the engine itself judges it, see `archsearch.search.liveness`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from archsearch.search.address import Address
from archsearch.search.liveness import Watch, is_alive
from archsearch.search.reader import Reader
from archsearch.search.reading import StudyRead, TrialRead
from archsearch.search.selecting import select_versions
from archsearch.search.snapshot import Ask, look, require_file

Kind = Literal["version", "damaged", "log", "lock", "torn", "left_running", "unseen", "files", "weights"]
STALE = 30.0  # seconds after which Optuna itself takes a journal's lock from its holder
MOST_NUMBERS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong: what, and the fix in words; `healable` where `doctor --fix` fixes it.

    `trials` are the numbers of the trials of `study` that it is about, `workers` those who had them.
    """

    kind: Kind
    what: str
    fix: str
    healable: bool = False
    study: str | None = None
    trials: tuple[int, ...] = ()
    workers: tuple[str, ...] = ()


def examine(
    reader: Reader, *, grace: float | None = None, sleep: Callable[[float], None] = time.sleep
) -> list[Finding]:
    """Return all that is found wrong, the database before its studies.

    With `grace`, the signs of life of workers on other machines are watched for that many seconds.
    Raises what a database raises that cannot be read at all.
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
    """Return for each running trial of ours, by study and number, whether its worker is dead; None where unseen."""
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
    watch, rounds = Watch(grace), 10
    for _ in range(rounds + 2):
        for name in {name for name, _ in unseen}:
            for trial in reader.study(name).trials:
                if (name, trial.number) in unseen and _is_dead(watch, trial):
                    found[name, trial.number] = True
        sleep(grace / rounds)
    return {place: False if place in unseen and dead is None else dead for place, dead in found.items()}


def _is_dead(watch: Watch, trial: TrialRead) -> bool:
    worker = str(trial.attrs.get("worker", ""))
    return trial.state == "running" and watch.is_dead(trial.number, worker, trial.attrs.get("beat"))


def _of_database(address: Address) -> Iterable[Finding]:
    if address.kind == "journal":
        yield from _of_journal(require_file(address))
        return
    versions = look(address, select_versions)
    if (wanted := schema_version()) != versions["schema"]:
        yield Finding(
            kind="version",
            what=f"the tables are of version {versions['schema']} (made by Optuna {versions['optuna']}), "
            f"this Optuna's are of {wanted}",
            fix=f"Keep a copy, then: optuna storage upgrade --storage {address}.",
        )
    if address.path is not None:
        said = look(address, _check)
        if said != "ok":
            yield Finding(
                kind="damaged",
                what=f"the file {address.path} is damaged: {said}",
                fix=f"Rescue what can be read: sqlite3 {address.path} .recover | sqlite3 rescued.db.",
            )
        log = address.path.with_name(f"{address.path.name}-wal")
        if log.exists():
            yield Finding(
                kind="log",
                what=f"{log} is there ({log.stat().st_size} bytes): a program has the database open, or was killed",
                fix="Nothing is lost: whoever opens the database reads it.",
                healable=True,
            )


def _check(ask: Ask) -> str:
    return str(ask("PRAGMA quick_check(1)", {})[0][0])


def schema_version() -> str:
    """Return the version of the tables that the installed Optuna works with."""
    from optuna.storages import RDBStorage

    from archsearch.search.store import quiet_optuna

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
            what=f"{lock} was left by a killed program; others wait {STALE:g} s for it",
            fix="It is taken away.",
            healable=True,
        )
    if torn := torn_bytes(file):
        yield Finding(
            kind="torn",
            what=f"the last line of {file} ends in its midst ({torn} bytes): its writer is at it, or was killed",
            fix="The half line, which nobody can read, is taken away, so that others can write behind it.",
            healable=True,
        )


def is_stale(lock: Path) -> bool:
    """Return whether a journal's lock, which is held for milliseconds, has been there for `STALE` seconds."""
    try:
        return time.time() - lock.lstat().st_mtime > STALE
    except OSError:
        return False


def torn_bytes(file: Path) -> int:
    """Return how many bytes follow the last line's end."""
    with file.open("rb") as opened:
        size = opened.seek(0, 2)
        tail, at = b"", size
        while at > 0 and b"\n" not in tail:
            at = max(0, at - 65536)
            opened.seek(at)
            tail = opened.read(min(65536, size - at)) + tail
    return len(tail) - tail.rfind(b"\n") - 1


def _of_running(study: StudyRead, dead: dict[tuple[str, int], bool | None]) -> Iterable[Finding]:
    judged = {trial.number: dead.get((study.name, trial.number)) for trial in study.trials if trial.state == "running"}
    ours = {number for number in judged if (study.name, number) in dead}
    left = tuple(number for number, gone in judged.items() if gone)
    if left:
        yield Finding(
            kind="left_running",
            what=f"{_trials(left)} left running: the worker is gone",
            fix="They wait again, and the same command takes them up from their checkpoints.",
            healable=True,
            study=study.name,
            trials=left,
            workers=tuple(str(trial.attrs.get("worker")) for trial in study.trials if trial.number in left),
        )
    unseen = tuple(number for number, gone in judged.items() if number in ours and gone is None)
    if unseen:
        yield Finding(
            kind="unseen",
            what=f"{_trials(unseen)} running on another machine, or on this one before it was started anew",
            fix="Watch for signs of life: --grace 120 (seconds, as study.grace).",
            study=study.name,
            trials=unseen,
        )
    others = tuple(number for number in judged if number not in ours)
    if others:
        yield Finding(
            kind="unseen",
            what=f"{_trials(others)} running by another program, which does not say where",
            fix="If it is gone: optuna.load_study(...).tell(NUMBER, state=TrialState.FAIL).",
            study=study.name,
            trials=others,
        )


def _of_files(study: StudyRead) -> Iterable[Finding]:
    gone: list[int] = []
    bare: list[int] = []
    for trial in study.trials:
        folder = trial.attrs.get("run_dir")
        if not isinstance(folder, str) or trial.state not in ("complete", "pruned", "diverged", "failed"):
            continue
        if not Path(folder).is_dir():
            gone.append(trial.number)
        elif trial.state == "complete" and not Path(folder, "model.safetensors").is_file():
            bare.append(trial.number)
    again = "Each can be made again: python -m archsearch.study trial STUDY NUMBER gives the command."
    if gone:
        yield Finding(
            kind="files",
            what=f"{_trials(gone)} without their folders (looked for from {Path.cwd()})",
            fix=again,
            study=study.name,
            trials=tuple(gone),
        )
    if bare:
        yield Finding(
            kind="weights", what=f"{_trials(bare)} without weights", fix=again, study=study.name, trials=tuple(bare)
        )


def _trials(numbers: Iterable[int]) -> str:
    """Return `trial 3` or `trials 3, 4, 5 and 10 more`."""
    listed = list(numbers)
    shown = ", ".join(map(str, listed[:MOST_NUMBERS]))
    more = f" and {len(listed) - MOST_NUMBERS} more" if len(listed) > MOST_NUMBERS else ""
    return f"{'trial' if len(listed) == 1 else 'trials'} {shown}{more}"
