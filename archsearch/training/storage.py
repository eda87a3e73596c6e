"""Files of a run that are written whole or not at all; imports no torch."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from archsearch.errors import StorageError
from archsearch.training.result import EpochRecord


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a reader sees the old file or the new one, also after a power cut.

    Raises `StorageError` where the disk is full or the place cannot be written; the old file is then still there.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_metrics(path: Path, history: Iterable[EpochRecord]) -> None:
    """Write all of `history` to `path`, a JSON object per line, in place of what was there."""
    write_whole(path, "".join(_line(record) for record in history).encode())


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


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
