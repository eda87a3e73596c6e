"""Searches on a real SLURM cluster of one node, which `.ci/with_slurm` starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec

import pytest

from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import load_study, study_names

pytestmark = [pytest.mark.slurm]

COMMAND = [
    sys.executable, "-m", "archsearch.run", "-m", "hydra/launcher=submitit_slurm", "study.workers=2",
    "data=shapes", "data.shapes.train_images=600", "data.shapes.test_images=20", "arch.width=0.25", "constraints=none",
    "train.epochs=8", "train.batch_size=20", "train.compile=false", "train.threads=1", "train.device=cpu",
]  # fmt: skip


@pytest.fixture(autouse=True)
def needs_submitit() -> None:
    if find_spec("hydra_plugins.hydra_submitit_launcher") is None:
        pytest.skip("hydra/launcher=submitit_slurm: pip install 'archsearch[launchers]' to run it")


def trials() -> list[tuple[str, list[int]]]:
    """Return how every trial stands, and the epochs that it has had."""
    store = open_store()
    try:
        found = load_study(store, study_names(store)[0]).trials()
        return [
            (each.user_attrs.get("state_reason", each.state.name), sorted(each.intermediate_values)) for each in found
        ]
    finally:
        store.close()


def wait_for(happened: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < until, what
        time.sleep(0.2)


def jobs(*states: str) -> list[str]:
    """Return the names of the jobs in one of the states, as scancel takes them."""
    said = subprocess.check_output(["squeue", "--noheader", "--format=%i %T"], text=True)
    return [line.split()[0] for line in said.splitlines() if line.split()[1] in states]


def test_jobs_that_are_cancelled_lose_nothing_and_the_same_command_ends_the_search() -> None:
    waiting = subprocess.Popen(
        [*COMMAND, "block=choice(normal,dilated,strided)", "study.trials=3"], stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: bool(jobs("RUNNING")), "no job began")
        wait_for(lambda: any(state == "RUNNING" and 1 in epochs for state, epochs in trials()), "no training began")
        subprocess.run(["scancel", *jobs("RUNNING", "PENDING")], check=True)
        wait_for(lambda: not jobs("RUNNING", "PENDING", "COMPLETING"), "the jobs went on")
    finally:
        waiting.send_signal(signal.SIGINT)  # without accounting nobody tells submitit that they are gone
        said = waiting.communicate(timeout=60)[1]
    assert waiting.returncode == 130
    assert "stopped waiting for the jobs" in said
    left = Counter(state for state, _ in trials())
    assert left["WAITING"] >= 1
    assert left["RUNNING"] == 0

    again = subprocess.run(waiting.args, capture_output=True, text=True, check=False, timeout=500, env=dict(os.environ))
    assert again.returncode == 0, again.stderr
    assert Counter(state for state, _ in trials()) == {"complete": 3}
    assert all(epochs == list(range(1, 9)) for _, epochs in trials())


def test_a_list_is_trained_once() -> None:
    done = subprocess.run(
        [*COMMAND, "block=normal,dilated", "train.epochs=1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert trials() == [("complete", [1]), ("complete", [1])]
