"""Heartbeats: workers on this machine are alive by their process, others by their heartbeats."""

from __future__ import annotations

import subprocess
import sys
import time

from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.search.heartbeat import LeaseMonitor, is_alive, worker_name
from archsearch.search.queue import TrialQueue
from archsearch.search.storage.study import Study


def test_heartbeats_are_written_until_the_trial_is_lost_which_is_reported(study: Study) -> None:
    queue = TrialQueue(study, make_sweep(make_settings(heartbeat=0.01)), worker_name())
    claim = queue.claim_new(FakeTask().check({"a": 2, "b": 3, "block": "normal"}), {})
    assert claim is not None
    with queue.lease(claim) as lease:
        assert isinstance(study.trials()[0].user_attrs["heartbeat"], float)
        assert not lease.lost
        study.store.storage.set_trial_user_attr(claim.trial_id, "worker", "somebody else")
        for _ in range(1000):
            if lease.lost:
                break
            time.sleep(0.01)
        assert lease.lost


def test_a_worker_ends_with_the_process_that_started_it() -> None:
    child = "import time; from archsearch.search.heartbeat import stop_with_parent; import os, sys\n"
    child += "stop_with_parent(int(sys.argv[1]), 0.01); print('ready', flush=True); time.sleep(300)"
    parent = f"import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}, str(os.getpid())])"
    # The child holds the pipe open as long as it lives, so this returns only when it has ended.
    found = subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, timeout=120, check=True)
    assert found.returncode == 0


def test_this_process_is_alive() -> None:
    assert is_alive(worker_name()) is True


def test_an_ended_process_is_dead() -> None:
    program = "from archsearch.search.heartbeat import worker_name; print(worker_name())"
    name = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert is_alive(name) is False


def test_a_reused_process_number_is_another_worker() -> None:
    host, place, pid, _ = worker_name().rsplit(":", 3)
    assert is_alive(f"{host}:{place}:{pid}:12345") is False


def test_a_worker_of_another_machine_is_dead_without_heartbeats_by_this_clock() -> None:
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
