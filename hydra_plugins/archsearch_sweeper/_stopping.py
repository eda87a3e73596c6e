"""Stop a launched worker with its job: the training writes a checkpoint, then the launcher handles the signal."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from archsearch.errors import InterruptedRun
from archsearch.signals import raise_interrupt, repeat_swallowed_interrupts

NOTICE = signal.SIGUSR2
"""SLURM sends it before it preempts a job or the job's time runs out; submitit then requeues the job."""


@contextlib.contextmanager
def stopping_in_time() -> Iterator[None]:
    """Let SIGTERM, and SIGUSR2 if the launcher handles it, stop a training with a checkpoint within the block.

    A search handles them between two steps and starts nothing new; outside a search they raise `KeyboardInterrupt`.
    If SIGUSR2 interrupted the block, it is raised again afterwards, for the launcher. A job that is still running then
    exits with code 130, which no launcher records as the job's result: a job that SLURM itself requeues has none yet.
    Raises `InterruptedRun` if the launcher does not requeue the job. Does nothing outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def notice(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)
        signal.raise_signal(signal.SIGTERM)  # handled by the training or the search, or else by `raise_interrupt`

    repeat_swallowed_interrupts()
    listens = callable(signal.getsignal(NOTICE))
    with _handled(signal.SIGTERM, raise_interrupt), _handled(NOTICE, notice) if listens else contextlib.nullcontext():
        try:
            yield
            return
        except (InterruptedRun, KeyboardInterrupt):
            pass
    if came:
        try:
            signal.raise_signal(NOTICE)
        except Exception as error:  # noqa: BLE001  (submitit's, where the job may not be queued again)
            raise InterruptedRun(str(error)) from None
    raise SystemExit(InterruptedRun.exit_code)


@contextlib.contextmanager
def _handled(number: signal.Signals, handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    old = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, old)
