"""Notices that an old word still works: a line on stderr, once per process. Imports the standard library only."""

from __future__ import annotations

import functools
import sys


@functools.cache
def notice_once(text: str) -> None:
    """Write `notice: TEXT` on stderr, unless this process has written the same before."""
    sys.stderr.write(f"notice: {text}\n")
