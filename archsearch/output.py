"""Standard output and error that never end a program: what cannot be written there is dropped.

A terminal may be closed, a pipe's reader may end (`| head`), a stream may be closed from the start (`>&-`), and an
encoding may lack a letter; a training is worth more than its lines. Imports the standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]

_READER_GONE = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO})


class _BestEffort(io.FileIO):
    """A file that takes all that is written to it; `lost` is the first error of a write."""

    lost: OSError | None = None

    def write(self, data: Buffer, /) -> int:
        size = memoryview(data).nbytes
        try:
            while (written := super().write(data)) is None:  # a pipe that does not block is full
                select.select([], [self], [], 1.0)
        except (OSError, ValueError) as error:
            self.lost = self.lost or (error if isinstance(error, OSError) else OSError(errno.EBADF, str(error)))
            return size
        return written


def protect_output() -> None:
    """Make standard output and error of this process best effort; streams that somebody has replaced stay as they are.

    A descriptor that is closed is opened on the null device: the next file would take its number, and what a library
    prints would be written into it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdout is sys.__stdout__:
        sys.stdout = sys.__stdout__ = _protected(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = sys.__stderr__ = _protected(sys.stderr, 2)


def lost_output() -> OSError | None:
    """Return why standard output is incomplete although somebody reads it, as on a full disk; None if it is whole."""
    raw: Any = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _BestEffort):
        return None
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    return None if raw.lost is None or raw.lost.errno in _READER_GONE else raw.lost


def _protected(stream: TextIO | None, descriptor: int) -> TextIO:
    """Return a stream like `stream`, which may be missing, whose writes cannot fail."""
    if isinstance(getattr(getattr(stream, "buffer", None), "raw", None), _BestEffort):
        assert stream is not None, "it has a buffer"
        return stream
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()  # type: ignore[union-attr]
    buffer = io.BufferedWriter(_BestEffort(descriptor, "wb", closefd=False))
    return io.TextIOWrapper(
        buffer,
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        newline=None if os.name == "nt" else "\n",
        line_buffering=getattr(stream, "line_buffering", True),
        write_through=getattr(stream, "write_through", False),
    )
