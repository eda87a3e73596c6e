from __future__ import annotations

import platform

import numpy as np

from archsearch.training.allocator import give_freed_memory_back, keep_freed_memory

LARGE = 64 * 2**20


def test_freed_memory_is_kept_and_given_back():
    glibc = platform.libc_ver()[0] == "glibc"
    try:
        assert keep_freed_memory() is glibc
        first = np.ones(LARGE, np.uint8)
        address = first.ctypes.data
        del first
        again = np.ones(LARGE, np.uint8)
        assert again.ctypes.data == address or not glibc
        del again
    finally:
        assert give_freed_memory_back() is glibc


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert keep_freed_memory() is False
    assert give_freed_memory_back() is False
