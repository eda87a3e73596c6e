"""Atomic writes of a run's files, and its metrics as JSON Lines; imports no torch."""

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
"""Errors of file systems that do not support fsync, such as some network file systems and those of some VMs."""


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically: a reader sees the old file or the new one, even after a power cut.

    Raises `StorageError` if the disk is full or `path` cannot be written; the old file then remains.
    """
    try:
        replace_whole(path, content)
    except OSError as error:
        raise cannot_write(path, error) from error


def replace_whole(path: Path, content: bytes) -> None:
    """Do the same as `write_whole` for a file outside a run directory, but raise `OSError`."""
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
    """Remove the partial files of killed processes from `folder` and its direct subfolders.

    Parts younger than `seconds` stay: in a shared folder, a live process may still be writing them.
    """
    for part in (*folder.glob(f".*{_PART}"), *folder.glob(f"*/.*{_PART}")):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime >= seconds:
                part.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that a new one can be written, and return the new name."""
    aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
    path.replace(aside)
    return aside


def write_metrics(path: Path, history: Iterable[EpochRecord]) -> None:
    """Write `history` to `path` as JSON Lines, and replace an existing file."""
    write_whole(path, "".join(_line(record) for record in history).encode())


def read_metrics(path: Path) -> list[EpochRecord]:
    """Return the epochs in `path` up to the first incomplete line; an empty list if the file does not exist."""
    found: list[EpochRecord] = []
    with contextlib.suppress(OSError, ValueError, TypeError), path.open(encoding="utf-8") as lines:
        for line in lines:
            record = EpochRecord(**json.loads(line))
            found.append(record)
    return found


def append_metrics(path: Path, record: EpochRecord) -> None:
    """Append the line of one epoch to `path`; raise `StorageError` if that fails."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(_line(record))
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> StorageError:
    """Return an error that names `path`, the cause and the fix."""
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
    """Flush an open file to the disk, if its file system supports that."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _sync_folder(folder: Path) -> None:
    """Flush the entries of `folder` to the disk, if that is supported; the file itself is flushed already."""
    if os.name == "nt":  # Windows cannot open a folder
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
