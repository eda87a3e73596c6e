"""Turn Ctrl-C, SIGTERM and the end of a time budget into a stop request that is checked between two steps.

Imports the standard library only.

An exception raised by a signal handler may appear anywhere: inside a transaction, or in a callback that swallows it.
Code that must not be interrupted checks a request instead. No exception is raised during an import: if it passed
through the C++ code of a library, the process would end with `terminate called`, or the exception would be swallowed.
Python swallows an exception in a finalizer or a weak reference's callback: the signal is then sent again.
"""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that request a stop: Ctrl-C, the default of `kill`, and a closed terminal."""
_AGAIN = 0.05  # seconds until a signal that arrived at a bad moment is sent again


class StopRequest:
    """A context in which the first signal of `STOP_SIGNALS` only sets `asked`.

    The previous handlers are restored at that moment, so that a second signal has its usual effect (it ends the
    program), and at the end of the context. In nested contexts the innermost one receives the signal and passes the
    request on to the outer one when it ends. No handler is installed outside the main thread, or for a signal that is
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
            with contextlib.suppress(RuntimeError):  # a signal during a write: Python forbids reentrant writes
                self._on_request()
        if self._raises:
            raise KeyboardInterrupt

    def _restore(self) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)
        self._old.clear()


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """Raise `KeyboardInterrupt` for a signal; during an import, handle it after the import."""
    if _importing(frame):
        _handle_later(number)
        return
    raise KeyboardInterrupt


def interrupt_on_signals() -> None:
    """Install `raise_interrupt` as the handler of every signal of `STOP_SIGNALS` that is not ignored."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) not in (None, signal.SIG_IGN):
            signal.signal(number, raise_interrupt)
    repeat_swallowed_interrupts()


def repeat_swallowed_interrupts() -> None:
    """From now on, send a signal again if Python swallowed its `KeyboardInterrupt` (`sys.unraisablehook`).

    Python would print "Exception ignored" and a traceback, and the program would continue.
    """
    global _hook_before
    if sys.unraisablehook is not _repeat_interrupt:
        _hook_before, sys.unraisablehook = sys.unraisablehook, _repeat_interrupt


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Block `STOP_SIGNALS` in the context; a process started there blocks them too, until it calls `unblock`."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Unblock the signals that this process inherited as blocked from the context `blocked` of its parent."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _importing(frame: FrameType | None) -> bool:
    """Return whether an import is in progress at `frame`."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib._bootstrap"):
            return True
        frame = frame.f_back
    return False


class TimeLimit:
    """A context that sends SIGTERM to the main thread at `moment` (of `time.monotonic`).

    Nothing is sent if it is entered in another thread, or if `moment` is None; `is_over` is correct there too.
    """

    def __init__(self, moment: float | None) -> None:
        self._moment = moment
        self._timer: threading.Timer | None = None
        self._sent, self._closed, self._lock = False, False, threading.Lock()

    @property
    def is_over(self) -> bool:
        """Whether the moment has passed."""
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
            with self._lock:  # a signal that is being sent is handled here, in the context around this one
                self._closed = True

    def _send(self) -> None:
        with self._lock:
            if not self._closed:
                self._sent = True
                _send(signal.SIGTERM)


_waiting: set[int] = set()  # signals that will be sent again
_hook_before = sys.unraisablehook


def _repeat_interrupt(swallowed: sys.UnraisableHookArgs) -> None:
    if isinstance(swallowed.exc_value, KeyboardInterrupt):
        number = next((each for each in STOP_SIGNALS if callable(signal.getsignal(each))), None)
        if number is not None:
            _handle_later(number)
            return
    _hook_before(swallowed)


def _handle_later(number: int) -> None:
    """Send signal `number` again after `_AGAIN` seconds, unless that is already scheduled."""
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
    """Send the signal to the main thread; if the system has `pthread_kill`, this also interrupts a wait there."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        _thread.interrupt_main(signal.Signals(number))
