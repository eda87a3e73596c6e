"""Files of a run that are written whole or not at all; imports no torch."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from archsearch.errors import StorageError
from archsearch.training.result import EpochRecord

_PART = ".part"  # the ending of a file that is being written
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Errors of file systems that cannot sync: some of networks and of virtual machines."""


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a reader sees the old file or the new one, also after a power cut.

    Raises `StorageError` where the disk is full or the place cannot be written; the old file is then still there.
    """
    try:
        replace_whole(path, content)
    except OSError as error:
        raise cannot_write(path, error) from error


def replace_whole(path: Path, content: bytes) -> None:
    """Do what `write_whole` does, for a file outside of a run's folder: raises `OSError`."""
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            _sync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def remove_parts(folder: Path, *, seconds: float = 0.0) -> None:
    """Remove what killed processes have left of files that they were writing into `folder` and the folders in it.

    In a folder that living processes write into too, only parts older than `seconds` are theirs no more.
    """
    for part in (*folder.glob(f".*{_PART}"), *folder.glob(f"*/.*{_PART}")):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime >= seconds:
                part.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Give a damaged file another name, so that a new one can be written, and return it."""
    aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
    path.replace(aside)
    return aside


def write_metrics(path: Path, history: Iterable[EpochRecord]) -> None:
    """Write all of `history` to `path`, a JSON object per line, in place of what was there."""
    write_whole(path, "".join(_line(record) for record in history).encode())


def read_metrics(path: Path) -> list[EpochRecord]:
    """Return the epochs in `path` up to the first line that is cut short; none where there is no such file."""
    found: list[EpochRecord] = []
    with contextlib.suppress(OSError, ValueError, TypeError), path.open(encoding="utf-8") as lines:
        for line in lines:
            record = EpochRecord(**json.loads(line))
            found.append(record)
    return found


def append_metrics(path: Path, record: EpochRecord) -> None:
    """Add the line of one epoch to `path`. Raises `StorageError` where that cannot be done."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(_line(record))
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> StorageError:
    """Return the error that names `path`, the cause and the fix."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    cause = "the disk is full" if full else (error.strerror or str(error))
    fix = "Free some space" if full else "Make the folder writable"
    return StorageError(
        f"{path}: cannot be written: {cause}. {fix} and continue with resume={path.parent}, "
        "or choose another folder with hydra.run.dir."
    )


def _line(record: EpochRecord) -> str:
    return json.dumps(asdict(record)) + "\n"


def _sync(handle: int) -> None:
    """Write an open file through to the disk, where its file system can do that."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _sync_folder(folder: Path) -> None:
    """Write the names in `folder` through to the disk, where that can be done: the file itself is written already."""
    if os.name == "nt":  # a folder cannot be opened there
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
