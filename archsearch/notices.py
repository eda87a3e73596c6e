"""Notices on stderr, each at most once per process. Imports `formatting` only."""

from __future__ import annotations

import functools
import sys

from archsearch.formatting import printable


@functools.cache
def notice_once(text: str) -> None:
    """Write `notice: TEXT` to stderr, unless this process has already written it."""
    sys.stderr.write(f"notice: {printable(text)}\n")
