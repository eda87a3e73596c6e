"""Workers and whether they live: a name that tells where a process runs, and the signs of life of a trial.

Imports the standard library only.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path


def worker_name() -> str:
    """Return the name of this process, `host:place:pid:start`, which no other process ever had or will have."""
    return f"{socket.gethostname()}:{_place()}:{os.getpid()}:{_start_of(os.getpid())}"


def is_alive(worker: str) -> bool | None:
    """Return whether the worker's process lives, or None where it cannot be seen from here."""
    parts = worker.rsplit(":", 3)
    if len(parts) != 4 or parts[0] != socket.gethostname() or parts[1] != _place():
        return None
    pid, start = int(parts[2]), parts[3]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _start_of(pid) == start and not _is_zombie(pid)


class Watch:
    """Tells dead workers by their beats: one that has not changed for `grace` seconds, by this process's own clock.

    Clocks of several machines are never compared.
    """

    def __init__(self, grace: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.grace, self._clock = grace, clock
        self._seen: dict[tuple[int, str], tuple[object, float]] = {}

    def is_dead(self, trial: int, worker: str, beat: object) -> bool:
        """Return whether nobody works on `trial` any more."""
        if not worker:
            return True
        alive = is_alive(worker)
        if alive is False:
            return True
        now = self._clock()
        last, since = self._seen.get((trial, worker), (None, now))
        if (trial, worker) not in self._seen or last != beat:
            self._seen[trial, worker] = (beat, now)
            return False
        return now - since > self.grace


def _place() -> str:
    """Return digits for what a process number is unique in: this boot of this machine, and this container."""
    said = ""
    for file in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            said += str(Path(file).readlink()) if file.endswith("pid") else Path(file).read_text()
        except OSError:
            said += "-"
    return hashlib.sha256(said.encode()).hexdigest()[:6]


def _start_of(pid: int) -> str:
    """Return when the process began, in the kernel's own count; 0 where the system does not say."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else "0"


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] == ["Z"]


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
