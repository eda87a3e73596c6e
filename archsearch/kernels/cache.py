"""The cache of compiled libraries: a folder that this user owns and no other user can write to.

A library runs with the rights of the user who loads it. A folder that belongs to another user, or that others can write
to, is not used, and the library is built elsewhere. Imports no torch.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from archsearch.notices import notice_once

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_DIGITS = 32  # of the SHA-256 of a library's content, in its name

Build = Callable[[Path], Path]
"""Builds a library in an empty folder and returns its path."""


class _UnsafeError(OSError):
    """A folder whose content other users may have written."""


def load_library(name: str, build: Build) -> ctypes.CDLL:
    """Return the library `name` from the cache, or build it and keep it if that is safe.

    Raises `OSError` if the built library cannot be loaded, and whatever `build` raises.
    """
    reasons: list[str] = []
    for folder in _folders():
        try:
            real = _private(folder)
            with contextlib.suppress(FileNotFoundError):
                return ctypes.CDLL(str(_kept(real, name)))
            return ctypes.CDLL(str(_built(real, name, build)))
        except OSError as error:
            reasons.append(str(error) if isinstance(error, _UnsafeError) else f"{folder}: {error.strerror or error}")
    with tempfile.TemporaryDirectory(prefix="archsearch-") as work:  # new, and private to this user
        library = ctypes.CDLL(str(build(Path(work))))
    fix = "Set XDG_CACHE_HOME to a folder that you own and others cannot write."
    notice_once(f"the compiled kernels are not kept, so every process builds them ({'; '.join(reasons)}). {fix}")
    return library


def _folders() -> Iterator[Path]:
    with contextlib.suppress(RuntimeError):  # no HOME, and no entry in the user database
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "archsearch"
    yield Path(tempfile.gettempdir()) / f"archsearch-{os.getuid()}"


def _private(folder: Path) -> Path:
    """Return `folder` with links resolved, created if it is missing, and accessible to this user only.

    Raises `_UnsafeError` if it is not a folder of this user, or if other users (except root) own, or can write to, a
    folder above it.
    """
    for one in reversed((folder, *folder.parents)):
        if not one.exists():
            one.mkdir(mode=0o700, exist_ok=True)  # even if the umask lets others write
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise _UnsafeError(f"{folder} is not a folder of this user")
    real = folder.resolve()
    for above in real.parents:
        state = above.stat()
        # In a sticky folder, such as /tmp, a user cannot rename or replace the files of others.
        if state.st_uid not in (0, os.getuid()) or (state.st_mode & _OTHERS_WRITE and not state.st_mode & stat.S_ISVTX):
            raise _UnsafeError(f"{above} can be written by others")
    if stat.S_IMODE(found.st_mode) != 0o700:
        real.chmod(0o700)
    return real


def _kept(folder: Path, name: str) -> Path:
    """Return the path of the cached library `name`; raise `FileNotFoundError` if there is none that can be trusted.

    A library that has changed since it was built, or that another user owns or can write to, is removed.
    """
    for file in sorted(folder.glob(f"{name}-*.so")):
        found = file.lstat()
        ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & _OTHERS_WRITE
        if ours and file.name == _name(name, file.read_bytes()):
            return file
        file.unlink()
    raise FileNotFoundError(name)


def _built(folder: Path, name: str, build: Build) -> Path:
    """Build the library `name`, move it into `folder`, and return its path."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        fresh = build(Path(work))
        fresh.chmod(0o600)
        # Atomic, so that no process loads an incomplete file.
        return fresh.replace(folder / _name(name, fresh.read_bytes()))


def _name(name: str, content: bytes) -> str:
    return f"{name}-{hashlib.sha256(content).hexdigest()[:_DIGITS]}.so"
