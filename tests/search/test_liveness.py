"""Who lives: by process on this machine, by beats on others."""

from __future__ import annotations

import subprocess
import sys

from archsearch.search.heartbeat import LeaseMonitor, is_alive, worker_name


def test_this_process_lives() -> None:
    assert is_alive(worker_name()) is True


def test_a_process_that_ended_does_not() -> None:
    program = "from archsearch.search.heartbeat import worker_name; print(worker_name())"
    name = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert is_alive(name) is False


def test_a_reused_process_number_is_another_worker() -> None:
    host, place, pid, _ = worker_name().rsplit(":", 3)
    assert is_alive(f"{host}:{place}:{pid}:12345") is False


def test_another_machine_is_judged_by_its_beats_and_this_clock() -> None:
    now = [0.0]
    watch = LeaseMonitor(10.0, clock=lambda: now[0])
    assert is_alive("elsewhere:abc:1:2") is None
    assert not watch.is_dead(1, "elsewhere:abc:1:2", 5)
    now[0] = 9.0
    assert not watch.is_dead(1, "elsewhere:abc:1:2", 5)
    assert not watch.is_dead(1, "elsewhere:abc:1:2", 6)
    now[0] = 19.5
    assert watch.is_dead(1, "elsewhere:abc:1:2", 6)


def test_a_trial_without_a_worker_is_free() -> None:
    assert LeaseMonitor(10.0).is_dead(1, "", None)
