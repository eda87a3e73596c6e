"""Signs of life: a thread that says every few seconds that a worker still has its trial, and notes when it has not."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

from archsearch.search.claims import Claim, Desk


class Pulse:
    """Whether the trial is still this worker's, as of the last look."""

    def __init__(self) -> None:
        self.lost = False


@contextlib.contextmanager
def beating(desk: Desk, claim: Claim, seconds: float) -> Iterator[Pulse]:
    """Write a sign of life for the claimed trial now and every `seconds` until the block ends.

    A database that does not answer for a while is no reason to end a training: the next beat tries again.
    """
    pulse, done = Pulse(), threading.Event()
    storage = desk.study.store.storage

    def beat() -> None:
        while not done.wait(seconds):
            with contextlib.suppress(Exception):
                if not desk.holds(claim):
                    pulse.lost = True
                    return
                storage.set_trial_user_attr(claim.trial_id, "beat", _moment())

    storage.set_trial_user_attr(claim.trial_id, "beat", _moment())
    thread = threading.Thread(target=beat, name=f"beat-{claim.number}", daemon=True)
    thread.start()
    try:
        yield pulse
    finally:
        done.set()
        thread.join()
        storage.remove_session()


def watch_parent(parent: int, seconds: float = 1.0) -> None:
    """Ask this process to stop, as Ctrl-C does, as soon as the process that started it is gone."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(seconds)
        import signal

        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, name="parent", daemon=True).start()


def _moment() -> float:
    return round(time.time(), 1)
