"""A command as a process of its own: its output, its end, its garbage and its freed memory.

Imports the standard library, `output` and `signals` only.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from archsearch.output import lost_output, protect_output
from archsearch.signals import STOP_SIGNALS, interrupt_on_signals

# How often Python looks for garbage by itself, and how often while it imports: torch, Optuna and the
# like leave hundreds of thousands of objects, none of them garbage; going through them again and again was half a
# second of a run.
USUAL_THRESHOLDS = gc.get_threshold()
_RARE_THRESHOLDS = (20_000, *USUAL_THRESHOLDS[1:])

# Names and values of malloc.h, and glibc's own defaults. By itself glibc maps every large tensor anew and gives it
# back, and the kernel clears each page again.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 * 2**20}
_DEFAULT = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 128 * 2**10, _TOP_PAD: 128 * 2**10}


def run_as_process(command: Callable[[], int], *, brief: bool = False) -> NoReturn:
    """Run `command` and end the process with the exit code that it returns.

    What cannot be written to a terminal or pipe is dropped; a `brief` command, whose output is all that it makes, ends
    with 2 where the disk of its output is full. SIGTERM ends a command as Ctrl-C does, with 130, from the start on.

    At its end Python walks through every object that is left, once for each of its generations: over a second where
    torch has been loaded. The memory goes back to the system anyway, so they are set aside; exit handlers run as ever.
    Meanwhile a command looks for garbage rarely; a `brief` one leaves none that would be worth looking for.
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
    """Put glibc's defaults back and return what is free to the system; return whether that was possible."""
    done = _set(_DEFAULT)
    if done:
        ctypes.CDLL(None).malloc_trim(0)
    return done


def _set(options: dict[int, int]) -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    results = [mallopt(option, value) for option, value in options.items()]  # all of them, also after a refusal
    return all(result == 1 for result in results)
