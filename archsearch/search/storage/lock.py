"""A lock between processes, released by the operating system or the database when its owner dies.

While a worker holds it, no other worker interferes when it reads and changes a study in several steps. A database is
accessed through the engine passed in; optuna is imported inside functions.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.errors import StorageError
from archsearch.search.heartbeat import is_alive, worker_name

if TYPE_CHECKING:
    from optuna.storages.journal import JournalFileSymlinkLock

Lock = Callable[[], AbstractContextManager[None]]
PATIENCE = 120.0  # seconds; a lock is usually held for milliseconds
PAUSE = 0.002
_LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE of a lock timeout
_HELD = (errno.EAGAIN, errno.EACCES, errno.EINTR, errno.EDEADLK)
"""Error codes while another process holds the lock; any other code means that the file system has no locks."""


def file_lock(path: Path, patience: float = PATIENCE) -> Lock:
    """Return a lock on the file `path`; the kernel releases it when the process ends, even by SIGKILL.

    The file gets the permissions that the umask allows, so that a group can share it. If the file system has no locks,
    a second file names the owner, see `_owner_file`.
    """

    @contextlib.contextmanager
    def lock() -> Iterator[None]:
        handle = _open(path)
        try:
            wait = _waiter(path, patience)
            while (got := _try_lock(handle)) is False:
                wait()
            if got:
                yield
            else:
                with _owner_file(path.with_name(f"{path.name}.owner"), patience):
                    yield
        finally:
            os.close(handle)

    return lock


def _open(path: Path) -> int:
    try:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:  # created by another user; read access is enough to lock it
            return os.open(path, os.O_RDONLY)
    except OSError as error:
        fix = "Make its folder writable, or choose another with study.storage."
        raise StorageError(
            f"{path}: the lock of the study cannot be opened: {error.strerror or error}. {fix}"
        ) from error


def _waiter(path: Path, patience: float) -> Callable[[], None]:
    """Return a function that pauses briefly; it raises `StorageError` after `patience` seconds in total."""
    until = time.monotonic() + patience

    def wait() -> None:
        if time.monotonic() > until:
            raise StorageError(f"{path}: locked by another process for over {patience:.0f} s; is it suspended?")
        time.sleep(PAUSE)

    return wait


def _try_lock(handle: int) -> bool | None:
    """Return whether this process now holds the lock; None if the file system has no locks."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _HELD else None
    return True


@contextlib.contextmanager
def _owner_file(path: Path, patience: float) -> Iterator[None]:
    """Hold `path`, which only one process can create; remove that of a dead process, or an old one of another host."""
    wait = _waiter(path, patience)
    while True:
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            break
        _remove_left(path, patience)
        wait()
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(worker_name())
        yield
    finally:
        path.unlink(missing_ok=True)


def _remove_left(path: Path, patience: float) -> None:
    with contextlib.suppress(OSError):  # meanwhile released, or removed by another process
        is_old = time.time() - path.stat().st_mtime > patience
        alive = is_alive(path.read_text(encoding="utf-8", errors="replace"))
        if alive is False or (alive is None and is_old):  # None: a process on another host cannot be checked
            aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
            path.rename(aside)  # if two processes remove it at once, one fails here
            aside.unlink()


def postgresql_lock(engine: Any, name: str, patience: float = PATIENCE) -> Lock:
    """Return an advisory lock of the database, held for one transaction; a lost connection releases it too."""
    from sqlalchemy import text
    from sqlalchemy.exc import OperationalError

    number = int.from_bytes(hashlib.sha256(f"archsearch:{name}".encode()).digest()[:8], "big", signed=True)

    @contextlib.contextmanager
    def lock() -> Iterator[None]:
        with engine.connect() as connection, connection.begin():
            connection.execute(
                text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": f"{patience * 1000:.0f}"}
            )
            try:
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
            except OperationalError as error:
                state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)  # psycopg 3, or 2
                if state != _LOCK_NOT_AVAILABLE:
                    raise
                what = f"the lock '{name}' of the study database is held by another process for over {patience:.0f} s"
                raise StorageError(f"{what}; is it suspended?") from None
            yield

    return lock


def journal_lock(path: Path) -> JournalFileSymlinkLock:
    """Return Optuna's lock of a journal, which also removes an incomplete last line left by a full disk or a kill.

    Otherwise the next line would be appended to it, and no program could read the journal any more.
    """
    from optuna.storages.journal import JournalFileSymlinkLock

    class WholeLines(JournalFileSymlinkLock):
        def acquire(self) -> bool:
            acquired = super().acquire()
            try:
                if torn := torn_bytes(path):
                    os.truncate(path, path.stat().st_size - torn)
            except OSError:
                self.release()
                raise
            return acquired

    return WholeLines(str(path))


def torn_bytes(file: Path) -> int:
    """Return the number of bytes after the last complete line."""
    with file.open("rb") as opened:
        size = opened.seek(0, 2)
        tail, at = b"", size
        while at > 0 and b"\n" not in tail:
            at = max(0, at - 65536)
            opened.seek(at)
            tail = opened.read(min(65536, size - at)) + tail
    return len(tail) - tail.rfind(b"\n") - 1
