"""Notices that an old word still works: a line on stderr, once per process. Imports `formatting` only."""

from __future__ import annotations

import functools
import sys

from archsearch.formatting import printable


@functools.cache
def notice_once(text: str) -> None:
    """Write `notice: TEXT` on stderr, unless this process has written the same before."""
    sys.stderr.write(f"notice: {printable(text)}\n")
