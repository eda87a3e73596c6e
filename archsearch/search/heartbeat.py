"""Heartbeats: a worker's name, a thread that renews the lease on its trial, and the detection of dead workers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def worker_name() -> str:
    """Return the name of this process, `host:boot:pid:start`, which is unique among all processes."""
    return f"{socket.gethostname()}:{_boot()}:{os.getpid()}:{_start_of(os.getpid())}"


def is_alive(worker: str) -> bool | None:
    """Return whether the worker's process is alive; None if it is not visible from this machine or container."""
    parts = worker.rsplit(":", 3)
    if len(parts) != 4 or parts[0] != socket.gethostname() or parts[1] != _boot() or not parts[2].isdecimal():
        return None
    pid, start = int(parts[2]), parts[3]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _start_of(pid) == start and not _is_zombie(pid)


class LeaseMonitor:
    """Detects dead workers: a process on this machine that has ended, or a heartbeat unchanged for `grace` seconds.

    The seconds are measured by this process's own clock; clocks of different machines are never compared.
    """

    def __init__(self, grace: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.grace, self._clock = grace, clock
        self._seen: dict[tuple[int, str], tuple[object, float]] = {}

    def is_dead(self, trial: int, worker: str, heartbeat: object) -> bool:
        """Return whether the `worker` of `trial` is dead."""
        if not worker:
            return True
        alive = is_alive(worker)
        if alive is False:
            return True
        now = self._clock()
        last, since = self._seen.get((trial, worker), (None, now))
        if (trial, worker) not in self._seen or last != heartbeat:
            self._seen[trial, worker] = (heartbeat, now)
            return False
        return now - since > self.grace

    def forget(self) -> None:
        """Forget all heartbeats: while this process could not read the study, no other process could write one."""
        self._seen.clear()


def _boot() -> str:
    """Return digits that identify the boot of this machine and its process namespace, in which a pid is unique."""
    text = ""
    for file in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            text += str(Path(file).readlink()) if file.endswith("pid") else Path(file).read_text()
        except OSError:
            text += "-"
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _start_of(pid: int) -> str:
    """Return the start time of the process in clock ticks since boot; "0" if the system does not provide it."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else "0"


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] == ["Z"]


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


class Lease:
    """Whether the trial still belonged to this worker when the lease was last renewed."""

    def __init__(self) -> None:
        self.lost = False


@contextlib.contextmanager
def heartbeat(renew: Callable[[], bool], seconds: float) -> Iterator[Lease]:
    """Renew a lease now and every `seconds` until the block ends; `renew` returns False if another worker has it.

    An error of a later renewal, such as a database that does not answer, is ignored: the next heartbeat tries again.
    """
    lease, done = Lease(), threading.Event()

    def beat() -> None:
        while not done.wait(seconds):
            with contextlib.suppress(Exception):
                if not renew():
                    lease.lost = True
                    return

    lease.lost = not renew()
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()


def stop_with_parent(parent: int, seconds: float = 1.0) -> None:
    """Send SIGTERM to this process soon after its parent process has ended; checked every `seconds`."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(seconds)
        import signal

        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
