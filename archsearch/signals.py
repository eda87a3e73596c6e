"""Ctrl-C, SIGTERM and the end of a time budget as a stop request that is checked between two steps.

Imports the standard library only.

An exception raised by a signal handler may appear anywhere: within a transaction, or in a callback that swallows it.
Code that must not be interrupted there checks a request instead. None is raised within an import: one that passes
through the C++ of a library under way ends the process with `terminate called`, or is swallowed.
"""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask to stop: Ctrl-C, the usual kill, and a terminal that was closed."""
_AGAIN = 0.05  # seconds until a signal that came within an import is handled


class StopRequest:
    """A context in which the first signal of `STOP_SIGNALS` only sets `asked`.

    The previous handlers are restored at that moment, so that a second signal has its usual effect (it ends the
    program), and at the end of the context. In nested contexts the innermost one takes the signal and passes the
    request on to the outer one when it ends. Nothing is installed outside the main thread, or for a signal that is
    ignored.
    """

    _innermost: StopRequest | None = None

    def __init__(self, on_request: Callable[[], None] | None = None) -> None:
        """Call `on_request` once, from the handler, at the first signal."""
        self.asked = False
        self._on_request = on_request
        self._raises = False
        self._old: dict[signal.Signals, Any] = {}
        self._around: StopRequest | None = None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._around, StopRequest._innermost = StopRequest._innermost, self
            for number in STOP_SIGNALS:
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
        """Raise `KeyboardInterrupt` if a stop was requested."""
        if self.asked:
            raise KeyboardInterrupt

    def at_once(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the signal raises `KeyboardInterrupt` at once."""
        return self._raising(True)

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Return a context, inside `at_once`, that delays the `KeyboardInterrupt` until its end."""
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
        if self._raises and _importing(frame):
            _handle_later(number)
            return
        self._restore()
        if self._on_request is not None:
            with contextlib.suppress(RuntimeError):  # a signal during a write: Python refuses a reentrant one
                self._on_request()
        if self._raises:
            raise KeyboardInterrupt

    def _restore(self) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)
        self._old.clear()


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """Handle a signal as Ctrl-C is, after the import under way."""
    if _importing(frame):
        _handle_later(number)
        return
    raise KeyboardInterrupt


def interrupt_on_signals() -> None:
    """Handle every signal of `STOP_SIGNALS` that is not ignored by `raise_interrupt`, from now on."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) not in (None, signal.SIG_IGN):
            signal.signal(number, raise_interrupt)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Hold signals back within the block; a process that is started there does so too, until it calls `unblock`."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Take the signals that `blocked` held back in the process that started this one."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _importing(frame: FrameType | None) -> bool:
    """Return whether an import is under way at `frame`."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib._bootstrap"):
            return True
        frame = frame.f_back
    return False


class TimeLimit:
    """A context in which the main thread gets SIGTERM at `moment` (of `time.monotonic`), as if somebody had sent it.

    Nothing is sent in another thread, or without a moment; `is_over` is right there too.
    """

    def __init__(self, moment: float | None) -> None:
        self._moment = moment
        self._timer: threading.Timer | None = None
        self._sent, self._closed, self._lock = False, False, threading.Lock()

    @property
    def is_over(self) -> bool:
        """Whether the moment has come."""
        return self._sent or (self._moment is not None and time.monotonic() >= self._moment)

    def __enter__(self) -> TimeLimit:
        if self._moment is not None and threading.current_thread() is threading.main_thread():
            self._timer = threading.Timer(max(self._moment - time.monotonic(), 0.0), self._send)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            with self._lock:  # a signal that was sent is handled by now, in the context around this one
                self._closed = True

    def _send(self) -> None:
        with self._lock:
            if not self._closed:
                self._sent = True
                _send(signal.SIGTERM)


_waiting: set[int] = set()  # signals that are handled later


def _handle_later(number: int) -> None:
    """Call the handler of signal `number` once more in a moment."""
    if number in _waiting:
        return
    _waiting.add(number)

    def again() -> None:
        _waiting.discard(number)
        if callable(signal.getsignal(number)):
            _send(number)

    timer = threading.Timer(_AGAIN, again)
    timer.daemon = True
    timer.start()


def _send(number: int) -> None:
    """Send the signal to the main thread; it ends a wait there as well, where the system has `pthread_kill`."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        _thread.interrupt_main(signal.Signals(number))
