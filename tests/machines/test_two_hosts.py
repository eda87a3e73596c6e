"""Searches on two hosts without a common disk, PostgreSQL between them: a cut network, lost files, wrong clocks."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from machine_room import NET, PASSWORD, Host, Room, wait_for

from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import load_study, study_names

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

TINY = [
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch.width=0.25", "constraints=none",
    "train.batch_size=20", "train.compile=false", "train.kernels=torch", "train.threads=1", "train.device=cpu",
    "optimizer.learning_rate=interval(0.01,0.2)", "study.heartbeat=0.5", "study.rungs=null",
]  # fmt: skip
ADDRESS = f"postgresql://searcher:{quote(PASSWORD)}@{NET}.1/postgres"

TRIALS = 20
LONGEST = 900  # seconds of a search that takes 20 on a machine of its own


def trials(room: Room) -> list[FrozenTrial]:
    store = open_store(room.here)
    try:
        return [trial for name in study_names(store) for trial in load_study(store, name).trials()]
    finally:
        store.close()


def is_training(room: Room, host: Host) -> bool:
    """Return whether a trial of the host has had epochs."""
    return any(
        trial.state.name == "RUNNING" and host_of(trial) == host.name and len(trial.intermediate_values) > 1
        for trial in trials(room)
    )


def host_of(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("worker", "")).partition(":")[0]


@pytest.mark.slow
def test_a_host_that_is_cut_off_loses_its_trial_and_comes_back(room: Room) -> None:
    alpha, beta = room.host("alpha", 2), room.host("beta", 3)
    command = [
        "-m",
        f"study.storage={room.storage}",
        "study.grace=10",
        f"study.trials={TRIALS}",
        "train.epochs=40",
        *TINY,
    ]
    first, second = alpha.start(command), beta.start(command)
    wait_for(lambda: is_training(room, alpha) and is_training(room, beta), "they do not both train")
    alpha.cut()
    [lost] = [one.number for one in trials(room) if one.state.name == "RUNNING" and host_of(one) == "alpha"]
    wait_for(lambda: host_of(trials(room)[lost]) == "beta", "beta does not take the trial over")
    alpha.mend()
    _, beta_err = second.communicate(timeout=LONGEST)
    _, alpha_err = first.communicate(timeout=LONGEST)
    assert (first.returncode, second.returncode) == (0, 0), alpha_err + beta_err
    assert f"trial {lost} starts from the beginning: it had " in beta_err
    assert "epochs on alpha, and its checkpoint is not in outputs/sweeps/" in beta_err
    assert f"trial {lost}: another worker has taken it over" in alpha_err
    found = trials(room)
    assert Counter(trial.user_attrs["state_reason"] for trial in found) == {"complete": TRIALS}
    assert all(sorted(trial.intermediate_values) == list(range(1, 41)) for trial in found)
    assert found[lost].user_attrs["location"].startswith("beta:/mnt/outputs/sweeps/")
    folder = found[lost].user_attrs["run_dir"]
    result = json.loads((beta.folder / folder / "result.json").read_text())
    assert result["seconds"] == found[lost].user_attrs["seconds"]
    _asked_where_the_files_are_not(alpha, lost)


def _asked_where_the_files_are_not(host: Host, number: int) -> None:
    """Ask for a trial of another host what needs its files, and what does not."""
    done = host.run(["export", "--trial", str(number), "--safetensors", "a.safetensors", "--storage", ADDRESS])
    assert done.returncode == 1
    assert f"the files of trial {number} are on beta in /mnt/outputs/sweeps/" in done.stderr
    assert "Traceback" not in done.stderr
    done = host.run(["trial", str(number), "--storage", ADDRESS])
    assert done.returncode == 0, done.stderr
    assert "not on this machine" in done.stdout
    done = host.run(["report", "--storage", ADDRESS])
    assert done.returncode == 0, done.stderr


def test_copies_of_the_files_are_fetched_by_a_host_without_them(room: Room) -> None:
    alpha, beta = room.host("alpha", 2), room.host("beta", 3)
    arguments = [
        f"study.storage={room.storage}",
        "study.artifacts=/media/artifacts",
        "study.trials=1",
        "train.epochs=1",
    ]
    search = alpha.start(["-m", *arguments, *TINY])
    assert search.communicate(timeout=LONGEST) is not None
    assert search.returncode == 0
    done = beta.run(["export", "--safetensors", "best.safetensors", "--storage", ADDRESS])
    assert done.returncode == 0, done.stderr
    [weights] = alpha.folder.glob("outputs/sweeps/*/0000/model.safetensors")
    assert (beta.folder / "best.safetensors").read_bytes() == weights.read_bytes()


@pytest.mark.slow
def test_a_host_cut_off_inside_the_lock_does_not_keep_the_others_out(room: Room) -> None:
    alpha, beta = room.host("alpha", 2), room.host("beta", 3)
    hold = (
        "import sys, time; from archsearch.search.storage.database import open_store\n"
        "with open_store(sys.argv[1]).lock():\n    print('held', flush=True); time.sleep(600)"
    )
    holder = alpha.start_program([sys.executable, "-c", hold, ADDRESS])
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    alpha.cut()
    enter = (
        "import sys; from archsearch.search.storage.database import open_store\n"
        "with open_store(sys.argv[1]).lock():\n    print('entered')"
    )
    waiting = beta.start_program([sys.executable, "-c", enter, ADDRESS])
    assert waiting.communicate(timeout=120)[0] == "entered\n"


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["-10m", "+10m"])
def test_a_clock_that_is_wrong_takes_no_living_trial_over(room: Room, wrong: str) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("machines: faketime is not installed")
    alpha, beta = room.host("alpha", 2), room.host("beta", 3)
    command = ["-m", f"study.storage={room.storage}", "study.grace=60", "study.trials=5", "train.epochs=40", *TINY]
    first = alpha.start(command)
    second = beta.start(command, under=["faketime", "-f", wrong])
    wait_for(lambda: is_training(room, alpha) and is_training(room, beta), "they do not both train")
    outputs = [process.communicate(timeout=LONGEST) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert not any("taken it over" in err or "from the beginning" in err for _, err in outputs)
    assert Counter(trial.user_attrs["state_reason"] for trial in trials(room)) == {"complete": 5}
