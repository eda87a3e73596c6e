"""Ctrl-C and SIGTERM as a request that a training reads between two steps; imports the standard library only."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """A context within which the first SIGINT or SIGTERM only sets `asked`.

    The old handlers are back from that moment on, so that a second signal does what it did before (ends the
    program), and after the context in any case. Outside the main thread, and for a signal that is ignored on
    purpose, nothing is installed.
    """

    def __init__(self, on_request: Callable[[], None] | None = None) -> None:
        """Call `on_request` once, from the handler, when the first signal comes."""
        self.asked = False
        self._on_request = on_request
        self._old: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                old = signal.getsignal(number)
                if old is not None and old != signal.SIG_IGN:
                    self._old[number] = old
                    signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()
        if self._on_request is not None:
            with contextlib.suppress(RuntimeError):  # a signal in the middle of a write: Python refuses a second one
                self._on_request()

    def _restore(self) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)
        self._old.clear()
