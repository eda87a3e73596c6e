"""Run a command as a process: its output streams, exit code, garbage collection and freed memory.

A terminal may be closed, a pipe's reader may end (`| head`), a stream may be closed from the start (`>&-`), and an
encoding may lack a character: none of these may end a training. Imports the standard library and `signals` only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import io
import logging
import os
import platform
import select
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from archsearch.signals import STOP_SIGNALS, interrupt_on_signals

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]

# The thresholds of Python's garbage collector, and those of a command. Importing torch, Optuna and the like creates
# hundreds of thousands of objects, none of them garbage; scanning them again and again took half a second of a run.
USUAL_THRESHOLDS = gc.get_threshold()
_RARE_THRESHOLDS = (20_000, *USUAL_THRESHOLDS[1:])

# Options of malloc.h, the values that keep freed memory, and glibc's defaults. By default glibc maps and unmaps the
# memory of every large tensor, and the kernel clears its pages each time.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 * 2**20}
_DEFAULT = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 128 * 2**10, _TOP_PAD: 128 * 2**10}


def run_as_process(command: Callable[[], int], *, brief: bool = False) -> NoReturn:
    """Run `command` and end the process with the exit code that it returns.

    Output that a terminal or pipe does not accept is dropped. A `brief` command, whose only result is its output, ends
    with 2 if the disk of its output is full. From the start, SIGTERM ends a command with 130, as Ctrl-C does.

    At exit Python traverses all remaining objects, once per generation: over a second if torch is loaded. The system
    reclaims the memory anyway, so the objects are frozen; exit handlers still run. While a command runs, garbage is
    collected rarely, and in a `brief` one never: it creates too little.
    """
    try:
        interrupt_on_signals()
        protect_output()
        if brief:
            gc.disable()
        else:
            gc.set_threshold(*_RARE_THRESHOLDS)
        code = command()
        if brief and (error := lost_output()) is not None:
            sys.stderr.write(f"standard output: cannot be written: {error.strerror}\n")
            code = code or 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    finally:
        gc.freeze()
        for number in STOP_SIGNALS:
            if callable(signal.getsignal(number)):
                signal.signal(number, lambda *_: os._exit(130))
    sys.exit(code)


def keep_freed_memory() -> bool:
    """Make this process keep freed memory; return whether that was possible (glibc only)."""
    return _set(_KEEP)


def give_freed_memory_back() -> bool:
    """Restore glibc's defaults and return free memory to the system; return whether that was possible."""
    done = _set(_DEFAULT)
    if done:
        ctypes.CDLL(None).malloc_trim(0)
    return done


def _set(options: dict[int, int]) -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    results = [mallopt(option, value) for option, value in options.items()]  # all of them, even if one fails
    return all(result == 1 for result in results)


_READER_GONE = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO})


class _BestEffort(io.FileIO):
    """A file whose writes never fail; `lost` is the first error of a write."""

    lost: OSError | None = None

    def write(self, data: Buffer, /) -> int:
        size = memoryview(data).nbytes
        try:
            while (written := super().write(data)) is None:  # a non-blocking pipe is full
                select.select([], [self], [], 1.0)
        except (OSError, ValueError) as error:
            self.lost = self.lost or (error if isinstance(error, OSError) else OSError(errno.EBADF, str(error)))
            return size
        return written


def protect_output() -> None:
    """Ignore failed writes to standard output and error of this process; streams that were replaced are left alone.

    Failed writes of logs are ignored too: Python would print a traceback for each line that a full disk rejects. A
    closed descriptor is opened on the null device: otherwise the next file would get its number, and the output of
    libraries would go into that file.
    """
    logging.raiseExceptions = False
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if sys.stdout is sys.__stdout__:
        sys.stdout = sys.__stdout__ = _protected(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = sys.__stderr__ = _protected(sys.stderr, 2)


def lost_output() -> OSError | None:
    """Return why standard output is incomplete, such as a full disk; None if it is complete or has no reader."""
    raw: Any = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _BestEffort):
        return None
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    return None if raw.lost is None or raw.lost.errno in _READER_GONE else raw.lost


def _protected(stream: TextIO | None, descriptor: int) -> TextIO:
    """Return a text stream on `descriptor`, with the settings of `stream` if there is one, whose writes cannot fail."""
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
