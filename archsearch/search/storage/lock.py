"""A lock between processes, released by the operating system or the database when its owner dies.

Inside it a study is read and changed in several steps without interference of other workers. Imports `errors` only; a
database is used through the engine passed in.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from archsearch.errors import StorageError

Lock = Callable[[], AbstractContextManager[None]]
PATIENCE = 120.0  # seconds; a lock is usually held for milliseconds


def file_lock(path: Path, patience: float = PATIENCE) -> Lock:
    """Return the lock on the file `path`; the kernel releases it with the process, also on SIGKILL."""

    @contextlib.contextmanager
    def lock() -> Iterator[None]:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            until = time.monotonic() + patience
            while not _try_lock(handle):
                if time.monotonic() > until:
                    raise StorageError(f"{path}: locked by another process for over {patience:.0f} s; is it suspended?")
                time.sleep(0.002)
            yield
        finally:
            os.close(handle)

    return lock


def postgresql_lock(engine: Any, name: str) -> Lock:
    """Return an advisory lock of the database; the server releases it with the connection."""
    from sqlalchemy import text

    number = int.from_bytes(hashlib.sha256(f"archsearch:{name}".encode()).digest()[:8], "big", signed=True)

    @contextlib.contextmanager
    def lock() -> Iterator[None]:
        with engine.connect() as connection, connection.begin():
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
            yield

    return lock


def _try_lock(handle: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
