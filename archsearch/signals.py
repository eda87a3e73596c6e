"""Ctrl-C and SIGTERM as a request that is read between two steps; imports the standard library only.

An exception that a signal raises may come up anywhere: in the middle of a transaction, or in a callback that swallows
it. So what must not be cut off reads a request instead.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """A context within which the first SIGINT or SIGTERM only sets `asked`.

    The old handlers are back from that moment on, so that a second signal does what it did before (ends the
    program), and after the context in any case. Where contexts are nested, the innermost one hears the signal, and
    those around it are asked when it ends. Outside the main thread, and for a signal that is ignored on purpose,
    nothing is installed.
    """

    _innermost: StopRequest | None = None

    def __init__(self, on_request: Callable[[], None] | None = None) -> None:
        """Call `on_request` once, from the handler, when the first signal comes."""
        self.asked = False
        self._on_request = on_request
        self._raises = False
        self._old: dict[signal.Signals, Any] = {}
        self._around: StopRequest | None = None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._around, StopRequest._innermost = StopRequest._innermost, self
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
        if StopRequest._innermost is self:
            StopRequest._innermost = self._around
            if self._around is not None:
                self._around.asked |= self.asked

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if a stop was asked for."""
        if self.asked:
            raise KeyboardInterrupt

    def at_once(self) -> contextlib.AbstractContextManager[None]:
        """Return a block that the signal ends by `KeyboardInterrupt`, for what may be cut off anywhere."""
        return self._raising(True)

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Return a block, inside of `at_once`, that ends before the signal is heard again."""
        return self._raising(False)

    @contextlib.contextmanager
    def _raising(self, raises: bool) -> Iterator[None]:
        before, self._raises = self._raises, raises
        try:
            if raises:
                self.check()
            yield
        finally:
            self._raises = before
        if before:
            self.check()

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()
        if self._on_request is not None:
            with contextlib.suppress(RuntimeError):  # a signal in the middle of a write: Python refuses a second one
                self._on_request()
        if self._raises:
            raise KeyboardInterrupt

    def _restore(self) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)
        self._old.clear()


def raise_interrupt(number: int, frame: object) -> None:
    """Handle a signal as Ctrl-C is."""
    del number, frame
    raise KeyboardInterrupt
