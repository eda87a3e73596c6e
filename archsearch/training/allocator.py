"""The C library's allocator, told to keep what a training step frees for the next step; imports no torch.

By itself glibc maps every large tensor anew and gives it back, and the kernel clears each page again.
"""

from __future__ import annotations

import ctypes
import platform

# Names and values of malloc.h, and glibc's own defaults.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 * 2**20}
_DEFAULT = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 128 * 2**10, _TOP_PAD: 128 * 2**10}


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
