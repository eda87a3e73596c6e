"""Real processes: several workers share a study, and a search that is killed again and again loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from search_fakes import DeviceTask, FakeTask, make_settings, make_study, make_sweep

from archsearch.search import workers
from archsearch.search.heartbeat import worker_name
from archsearch.search.queue import TrialQueue
from archsearch.search.storage.database import open_store
from archsearch.search.storage.write import finish_row

PROGRAM = Path(__file__).with_name("kill_me.py")
DATABASE = "sqlite:///outputs/studies.db"


def command(trials: int, processes: int, storage: str = DATABASE, name: str = "killed") -> list[str]:
    return [sys.executable, str(PROGRAM), storage, name, str(trials), str(processes), "log"]


def states(storage: str = DATABASE, name: str = "killed") -> Counter[str]:
    store = open_store(storage)
    trials = make_study(store, name=name).trials()
    store.close()
    return Counter(trial.user_attrs.get("state_reason", "?") for trial in trials)


def epochs() -> Counter[str]:
    return Counter(json.loads(line)[0] for line in Path("log").read_text().splitlines())


def test_two_workers_share_a_study() -> None:
    subprocess.run(command(8, 2), check=True, timeout=300)
    assert states()["complete"] == 8
    assert set(states()) <= {"complete", "infeasible"}
    assert set(epochs().values()) == {5}


def test_a_killed_search_is_resumed() -> None:
    for lines in (3, 14):
        process = subprocess.Popen(command(6, 1))
        while process.poll() is None and (
            not Path("log").exists() or len(Path("log").read_text().splitlines()) < lines
        ):
            time.sleep(0.01)
        process.kill()
        process.wait()
    subprocess.run(command(6, 1), check=True, timeout=300)
    assert states()["complete"] == 6
    assert set(states()) <= {"complete", "infeasible"}
    assert len(epochs()) == 6
    assert max(epochs().values()) <= 7  # an epoch that a kill cut off from its checkpoint is trained again


def test_ctrl_c_leaves_no_process_and_releases_every_trial() -> None:
    process = subprocess.Popen(command(12, 3), start_new_session=True, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not Path("log").exists() or len(epochs()) < 3):
        time.sleep(0.01)
    children = [int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
    assert process.wait(100) == 1, "the program lets InterruptedRun through"
    for child in children:
        assert not Path(f"/proc/{child}").exists() or b"spawn_main" not in Path(f"/proc/{child}/cmdline").read_bytes()
    store = open_store()
    trials = make_study(store, name="killed").trials()
    store.close()
    assert {trial.state.name for trial in trials if not trial.state.is_finished()} == {"WAITING"}
    subprocess.run(command(12, 3), check=True, timeout=300)
    assert states()["complete"] == 12
    assert max(epochs().values()) <= 6  # an epoch that Ctrl-C cut off is trained again


def test_a_trial_whose_workers_die_five_times_at_the_same_epoch_fails() -> None:
    store = open_store()
    study = make_study(store)
    task = FakeTask()
    candidate = task.check({"a": 1, "b": 2, "block": "normal"})
    claim = TrialQueue(study, make_sweep(), worker_name()).claim_new(candidate, {})
    assert claim is not None
    dead = SimpleNamespace(trial=claim.number, process=SimpleNamespace(exitcode=-9))
    for epoch in (1, 2):
        store.storage.set_trial_intermediate_value(claim.trial_id, epoch, 0.5)
        for _ in range(4):
            workers._count_death(study, dead)  # type: ignore[arg-type]
    assert study.trials()[0].state.name == "RUNNING"
    workers._count_death(study, dead)  # type: ignore[arg-type]
    trial = study.trials()[0]
    store.close()
    assert trial.state.name == "FAIL"
    assert trial.user_attrs["cause"] == "its worker died 5 times after epoch 2 (signal SIGKILL)"


def test_a_death_does_not_count_where_another_worker_has_finished_the_trial_meanwhile() -> None:
    store = open_store()
    study = make_study(store)
    candidate = FakeTask().check({"a": 1, "b": 2, "block": "normal"})
    claim = TrialQueue(study, make_sweep(), worker_name()).claim_new(candidate, {})
    assert claim is not None

    @contextlib.contextmanager
    def after_another() -> Iterator[None]:
        with store.lock():
            finish_row(store, claim.trial_id, "complete", {"state_reason": "complete"}, (0.5,))
            yield

    late = replace(study, store=replace(store, lock=after_another))
    workers._count_death(late, SimpleNamespace(trial=claim.number, process=SimpleNamespace(exitcode=-9)))  # type: ignore[arg-type]
    trial = study.trials()[0]
    store.close()
    assert (trial.state.name, trial.user_attrs.get("deaths")) == ("COMPLETE", None)


def test_devices_are_assigned_in_turn() -> None:
    store = open_store()
    study = make_study(store)
    sweep = make_sweep(make_settings(trials=6, workers=3))
    workers.run_workers(study, sweep, DeviceTask, listen=lambda event: None, devices=["cuda:0", "cuda:1"])
    sent = [trial.user_attrs["sent_to"] for trial in study.trials()]
    store.close()
    assert len(sent) == 6
    assert set(sent) == {"cuda:0", "cuda:1"}


@pytest.mark.parametrize(("given", "processes", "taken"), [(None, 1, 6), (None, 4, 1), (None, 9, 1), ("5", 2, 5)])
def test_cores_are_shared_unless_threads_are_set(monkeypatch, given, processes, taken) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.delenv("OMP_NUM_THREADS")
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    with workers._shared_cores(processes):
        assert os.environ["OMP_NUM_THREADS"] == str(taken)
    assert os.environ.get("OMP_NUM_THREADS") == given


@pytest.mark.postgres
def test_workers_share_a_study_on_a_server_and_one_that_is_killed_is_replaced() -> None:
    storage, name = os.environ["ARCHSEARCH_POSTGRES"], f"killed-{uuid.uuid4()}"
    process = subprocess.Popen(command(8, 2, storage, name))
    while process.poll() is None and (not Path("log").exists() or len(Path("log").read_text().splitlines()) < 3):
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    found = [int(one) for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
    os.kill(found[0], signal.SIGKILL)
    assert process.wait(300) == 0
    assert states(storage, name)["complete"] == 8
    assert set(states(storage, name)) <= {"complete", "infeasible"}
    assert len(epochs()) == 8
