"""Signs of life."""

from __future__ import annotations

import subprocess
import sys
import time

from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.search.heartbeat import worker_name
from archsearch.search.queue import TrialQueue
from archsearch.search.storage.study import Study


def test_a_trial_beats_while_it_is_held_and_says_when_it_is_not(study: Study) -> None:
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
