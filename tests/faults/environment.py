"""Disturbances of the environment: disks, locks, servers and files that fail under a command, and then work again."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab import LONGEST, QUICK, Command, Lab, Point, Reference, Warm
from postgres_server import PostgresServer

SAVING = ("before replace checkpoint.pt", 3)  # a point within a training, outside of any transaction
RECORDED = ("after replace result.json", 1)
ENDING = ("before commit of UPDATE trials", 1)  # the row's end, within its transaction
MOST_LINES = 12  # of output after which a message counts as more than one


@dataclass(frozen=True)
class Place:
    """Where a disturbance is tried: a folder of its own, and a server where one is installed."""

    warm: Warm
    folder: Path
    reference: Reference
    server: PostgresServer | None = None

    def lab(self, kind: str = "search", storage: str = "sqlite:///outputs/studies.db", **more: object) -> Lab:
        """Return a command to disturb."""
        return Lab(self.warm, self.folder, kind, storage, **more)  # type: ignore[arg-type]

    def on_server(self, kind: str = "search", **more: object) -> Lab:
        """Return a command whose study is on the server."""
        assert self.server is not None, "`needs` says so"
        return self.lab(kind, self.server.address, **more)


@dataclass(frozen=True)
class Disturbance:
    """One way in which the environment fails; `needs` is `disk` (a small file system, root), `server`, or nothing."""

    name: str
    run: Callable[[Place], list[str]]
    needs: str = ""


def can_mount() -> bool:
    """Return whether this user may mount a small file system here."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
        try:
            with small_disk(folder, 1):
                return True
        finally:
            folder.rmdir()
    return False


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int = 24) -> Iterator[Path]:
    """Give `folder` a file system of its own, of this size, in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        for _ in range(2):  # the second is there while the folder is read-only
            subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def fill(folder: Path) -> Path:
    """Fill the file system of `folder` to the last block and return the file that does."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"0" * size)
    return filler


def set_read_only(folder: Path, value: bool) -> None:
    """Make a folder refuse to be written to, or take it back; what is open in it already can still be written."""
    if value:
        _mount("--bind", str(folder), str(folder))  # the file system itself is busy while a file is open
        _mount("-o", "remount,bind,ro", str(folder))
    else:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def disturbed(lab: Lab, point: Point = SAVING) -> Iterator[Command]:
    """Start the command, hold it at `point` while the block begins its disturbance, and let it go on after it."""
    hook = lab.folder / "harness" / "held"
    command = lab.start(kill=list(point), hook=str(hook), settings=QUICK)
    until = time.monotonic() + LONGEST
    while not hook.exists() and command.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    if command.poll() is not None:
        lab.faults.append(f"ended before the point {point}: {command.text[-300:]}")
    yield command
    hook.unlink(missing_ok=True)


def wait_until_training(lab: Lab, command: Command) -> None:
    """Wait for the first epoch of a trial."""
    until = time.monotonic() + LONGEST
    while not list(lab.folder.rglob("metrics.jsonl")) and command.poll() is None and time.monotonic() < until:
        time.sleep(0.002)


def endured(place: Place, lab: Lab, command: Command, end: Callable[[], object]) -> list[str]:
    """End the disturbance after some seconds; a search must go on by itself, and all must be there in the end.

    A single run may end with a message, or without its card; it is then resumed.
    """
    command.wait(2.0 + place.reference.seconds["run"])  # long enough to meet it, also on a busy machine
    end()
    code = command.wait()
    if code is None:
        lab.faults.append("hangs")
        command.kill()
    elif code != 0 and lab.kind != "run":
        lab.faults.append(f"did not wait, but ended with exit code {code}: {command.text[-300:]}")
    lab.finish()
    return lab.check(place.reference)


def gave_up(place: Place, lab: Lab, command: Command, end: Callable[[], object]) -> list[str]:
    """Let the disturbance last: the command must end with one message, and do the rest when it is given again."""
    code = command.wait()
    text = command.text
    end()
    if code is None:
        lab.faults.append("hangs")
        command.kill()
    elif code != 1:
        lab.faults.append(f"ended with exit code {code} where 1 was expected: {text[-300:]}")
    elif len(text.splitlines()) > MOST_LINES:
        lab.faults.append(f"ended with {len(text.splitlines())} lines: {text[-300:]}")
    lab.finish()
    return lab.check(place.reference)


def full_disk(place: Place, kind: str = "search", *, on_server: bool = False, last: bool = False) -> list[str]:
    """The disk of the runs (and of the SQLite database) is full."""
    patience = 1.0 if last else 60.0
    lab = place.on_server(kind, patience=patience) if on_server else place.lab(kind, patience=patience)
    with small_disk(lab.folder / "outputs") as disk:
        if kind == "workers":
            command = lab.start(settings=QUICK)
            wait_until_training(lab, command)
            filler = fill(disk)
        else:
            with disturbed(lab) as command:
                filler = fill(disk)
        if last:
            return gave_up(place, lab, command, filler.unlink)
        return endured(place, lab, command, filler.unlink)


def full_database(place: Place) -> list[str]:
    """The disk of the database alone is full."""
    lab = place.lab(storage="sqlite:///database/studies.db")
    with small_disk(lab.folder / "database", 2) as disk:
        with disturbed(lab) as command:
            filler = fill(disk)
        return endured(place, lab, command, filler.unlink)


def read_only(place: Place, kind: str = "search", *, last: bool = False) -> list[str]:
    """The folder of the runs cannot be written to."""
    lab = place.lab(kind, "sqlite:///database/studies.db", patience=1.0 if last else 60.0)
    with small_disk(lab.folder / "outputs") as disk:
        with disturbed(lab) as command:
            set_read_only(disk, True)
        return (gave_up if last else endured)(place, lab, command, lambda: set_read_only(disk, False))


def read_only_database(place: Place) -> list[str]:
    """The folder of the database cannot be written to when the command starts."""
    lab = place.lab(storage="sqlite:///database/studies.db", patience=1.0)
    with small_disk(lab.folder / "database", 2) as disk:
        set_read_only(disk, True)
        command = lab.start(settings=QUICK)
        code = command.wait()
        if code not in (1, 2):
            lab.faults.append(f"ended with exit code {code}: {command.text[-300:]}")
        set_read_only(disk, False)
        lab.finish()
        return lab.check(place.reference)


def locked(place: Place, kind: str = "search", *, last: bool = False, point: Point = SAVING) -> list[str]:
    """Another program holds the SQLite database."""
    lab = place.lab(kind, patience=1.0 if last else 60.0)
    holder: list[sqlite3.Connection] = []

    def hold() -> None:
        holder.append(sqlite3.connect(lab.folder / "outputs" / "studies.db", timeout=60, isolation_level=None))
        holder[0].execute("BEGIN EXCLUSIVE")

    if kind == "workers":
        command = lab.start(settings=QUICK)
        wait_until_training(lab, command)
        hold()
    else:
        with disturbed(lab, point) as command:
            hold()
    return (gave_up if last else endured)(place, lab, command, holder[0].close)


def lock_file_held(place: Place) -> list[str]:
    """A process that holds the lock of the studies is suspended for some seconds."""
    import fcntl

    lab = place.lab()
    with disturbed(lab) as command:
        handle = os.open(lab.folder / "outputs" / "studies.db.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(handle, fcntl.LOCK_EX)
    return endured(place, lab, command, partial(os.close, handle))


def server_restarts(place: Place, mode: str = "fast", point: Point = SAVING, kind: str = "search") -> list[str]:
    """The PostgreSQL server is restarted under the command."""
    lab, server = place.on_server(kind), place.server
    assert server is not None, "`needs` says so"
    if kind == "workers":
        command = lab.start()
        wait_until_training(lab, command)
        server.stop(mode)
        server.start()
    else:
        with disturbed(lab, point) as command:
            server.stop(mode)
            server.start()
    return endured(place, lab, command, lambda: None)


def server_is_down(place: Place, kind: str = "search", *, last: bool = False, point: Point = SAVING) -> list[str]:
    """The PostgreSQL server is away for some seconds."""
    lab, server = place.on_server(kind, patience=1.0 if last else 60.0), place.server
    assert server is not None, "`needs` says so"
    if kind == "workers":
        command = lab.start()
        wait_until_training(lab, command)
        server.stop("immediate")
    else:
        with disturbed(lab, point) as command:
            server.stop("immediate")
    return (gave_up if last else endured)(place, lab, command, server.start)


def database_vanishes(place: Place, *, replaced: bool = False) -> list[str]:
    """The database file is deleted, or replaced by an older copy, under the sweep: it must say so and not end well."""
    lab = place.lab(patience=2.0)
    copy = lab.folder / "harness" / "copy.db"
    with disturbed(lab) as command:
        file = lab.folder / "outputs" / "studies.db"
        if replaced:
            source, target = sqlite3.connect(file), sqlite3.connect(copy)
            source.backup(target)
            source.close()
            target.close()
        for name in ("studies.db", "studies.db-wal", "studies.db-shm"):
            file.with_name(name).unlink(missing_ok=True)
        if replaced:
            copy.replace(file)
    code = command.wait()
    if code in (0, None):
        lab.faults.append(f"ended with exit code {code}, its database {'replaced' if replaced else 'deleted'}")
        command.kill()
    if "studies.db" not in command.text:
        lab.faults.append(f"does not name the database: {command.text[-300:]}")
    shutil.rmtree(lab.folder / "outputs")  # the study is gone; what the same command does now is a new one
    lab.finish()
    return lab.check(place.reference)


def server_database_vanishes(place: Place) -> list[str]:
    """The study is deleted on the server under the sweep."""
    lab = place.on_server(patience=2.0)
    with disturbed(lab) as command:
        import optuna
        from optuna.storages import RDBStorage

        storage = RDBStorage(lab.storage.replace("postgresql:", "postgresql+psycopg:", 1))
        optuna.delete_study(study_name=lab.study, storage=storage)
        storage.remove_session()
        storage.engine.dispose()
    code = command.wait()
    if code in (0, None):
        lab.faults.append(f"ended with exit code {code}, its study deleted")
        command.kill()
    shutil.rmtree(lab.folder / "outputs")
    lab.finish()
    return lab.check(place.reference)


def suspended_twin(place: Place) -> list[str]:
    """Two sweeps share a study; one is suspended for longer than `study.grace`, and then goes on."""
    lab = place.lab(beating=(0.2, 1.0))
    with disturbed(lab) as command:
        command.signal(signal.SIGSTOP)
    other = lab.start(lab.arguments)
    other.wait(10.0)
    command.signal(signal.SIGCONT)
    for each in (command, other):
        if code := each.wait():
            lab.faults.append(f"one of two sweeps ended with exit code {code}: {each.text[-300:]}")
    return lab.check(place.reference)


def damaged(place: Place, name: str, point: Point, damage: Callable[[Path], None], kind: str = "search") -> list[str]:
    """A file of a killed training is damaged: the next command starts that training anew, or names the file."""
    lab = place.lab(kind)
    killed = lab.start(kill=list(point))
    killed.wait()
    files = list(lab.folder.rglob(name))
    if len(files) != 1:
        lab.faults.append(f"{len(files)} files {name} were left by the kill")
    for file in files:
        damage(file)
    command = lab.start()
    code = command.wait()
    if code is None:
        lab.faults.append("hangs")
        command.kill()
    elif code:
        if name not in command.text:
            lab.faults.append(f"ended with exit code {code} and does not name {name}: {command.text[-300:]}")
        for file in files:  # as the message asks
            file.unlink(missing_ok=True)
        lab.finish()
    return lab.check(place.reference)


def _damaging(
    name: str, point: Point, damage: Callable[[Path], None], kind: str = "search"
) -> Callable[[Place], list[str]]:
    return lambda place: damaged(place, name, point, damage, kind)


def cut_short(file: Path) -> None:
    """Keep the first half of a file."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_bits(file: Path, bits: int = 3, seed: int = 0) -> None:
    """Turn some bits of a file, at places that the seed chooses."""
    content, rng = bytearray(file.read_bytes()), random.Random(seed)
    for _ in range(bits):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def blank(file: Path) -> None:
    """Leave the length of a file and none of its content, as some file systems do after a power cut."""
    file.write_bytes(bytes(file.stat().st_size))


DISTURBANCES = (
    Disturbance("disk full for a while, search", full_disk, "disk"),
    Disturbance("disk full for a while, two workers", partial(full_disk, kind="workers"), "disk"),
    Disturbance("disk full for good, search", partial(full_disk, last=True), "disk"),
    Disturbance("disk full for a while, single run", partial(full_disk, kind="run"), "disk"),
    Disturbance("disk of the database full, search", full_database, "disk"),
    Disturbance("folders read-only for a while, search", read_only, "disk"),
    Disturbance("folders read-only for good, search", partial(read_only, last=True), "disk"),
    Disturbance("folder read-only for a while, single run", partial(read_only, kind="run"), "disk"),
    Disturbance("folder of the database read-only at the start", read_only_database, "disk"),
    Disturbance("SQLite locked for a while, search", locked),
    Disturbance("SQLite locked for good, search", partial(locked, last=True)),
    Disturbance("SQLite locked for a while, two workers", partial(locked, kind="workers")),
    Disturbance("SQLite locked at the end of a single run", partial(locked, kind="run", point=RECORDED)),
    Disturbance("lock of the studies held by a suspended process", lock_file_held),
    Disturbance("database file deleted", database_vanishes),
    Disturbance("database file replaced", partial(database_vanishes, replaced=True)),
    Disturbance("one of two sweeps suspended", suspended_twin),
    Disturbance("checkpoint cut short, search", _damaging("checkpoint.pt", SAVING, cut_short)),
    Disturbance("checkpoint with flipped bits, search", _damaging("checkpoint.pt", SAVING, flip_bits)),
    Disturbance("checkpoint blank, single run", _damaging("checkpoint.pt", SAVING, blank, "run")),
    Disturbance("result cut short, search", _damaging("result.json", RECORDED, cut_short)),
    Disturbance("result blank, search", _damaging("result.json", RECORDED, blank)),
    Disturbance("result cut short, single run", _damaging("result.json", RECORDED, cut_short, "run")),
    Disturbance("server restarted, search", server_restarts, "server"),
    Disturbance("server killed within a commit", partial(server_restarts, mode="immediate", point=ENDING), "server"),
    Disturbance("server restarted, two workers", partial(server_restarts, kind="workers"), "server"),
    Disturbance("server down for a while, search", server_is_down, "server"),
    Disturbance("server down for good, search", partial(server_is_down, last=True), "server"),
    Disturbance(
        "server down at the end of a single run", partial(server_is_down, kind="run", point=RECORDED), "server"
    ),
    Disturbance("study deleted on the server", server_database_vanishes, "server"),
)
