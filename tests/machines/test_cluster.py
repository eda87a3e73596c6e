"""Searches on clusters of two nodes: SLURM, whose nodes share a folder and whose jobs lose them, and Ray."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec

import pytest
from cluster import Cluster, why_no_cluster
from machine_room import Room, wait_for
from test_two_hosts import TINY, TRIALS, host_of, is_training, trials

pytestmark = [pytest.mark.slow]


@pytest.fixture
def cluster(room: Room) -> Cluster:
    if find_spec("hydra_plugins.hydra_submitit_launcher") is None:
        pytest.skip("machines: hydra/launcher=submitit_slurm: pip install 'archsearch[launchers]' to run it")
    if reason := why_no_cluster():
        pytest.skip(f"machines: {reason}")
    return Cluster(room, [room.host("alpha", 2), room.host("beta", 3)])


def search(cluster: Cluster, room: Room) -> subprocess.Popen[str]:
    """Start a search and wait until both nodes train."""
    more = [
        "study.workers=2",
        f"study.trials={TRIALS}",
        "study.grace=15",
        "train.epochs=60",
        f"study.storage={room.storage}",
    ]
    started = cluster.search(*TINY, *more, "hydra.launcher.timeout_min=10", "hydra.launcher.partition=main")
    wait_for(lambda: all(is_training(room, host) for host in cluster.hosts), "the nodes do not both train")
    return started


@pytest.mark.parametrize("how", ["scancel", "a more urgent job", "scontrol requeue"])
def test_a_job_that_loses_its_node_gives_its_trial_back_with_its_checkpoint(
    cluster: Cluster, room: Room, how: str
) -> None:
    command = search(cluster, room)
    job = cluster.jobs("RUNNING")[0]
    if how == "scancel":
        cluster.command("scancel", job)
    elif how == "scontrol requeue":
        cluster.command("scontrol", "requeue", job)
    else:
        cluster.command("sbatch", "--partition=urgent", "--ntasks=1", "--output=/dev/null", "--wrap", "sleep 5")
    wait_for(lambda: any(one.state.name == "WAITING" and one.intermediate_values for one in trials(room)), "none waits")
    [lost] = [one for one in trials(room) if one.state.name == "WAITING" and one.intermediate_values]
    wait_for(lambda: [one.state.name for one in trials(room)] == ["COMPLETE"] * TRIALS, "the others do not finish it")
    command.send_signal(signal.SIGINT)  # without accounting submitit does not learn that a job is gone
    command.communicate(timeout=120)
    found = trials(room)
    assert Counter(trial.user_attrs["state_reason"] for trial in found) == {"complete": TRIALS}
    assert all(sorted(trial.intermediate_values) == list(range(1, 61)) for trial in found)
    assert host_of(found[lost.number]) in ("alpha", "beta")
    assert room.shared is not None
    logs = [file.read_text() for file in (room.shared / "work").glob("outputs/sweeps/*/.submitit/*/*.err")]
    assert logs
    assert not any("from the beginning" in text for text in logs), "the checkpoint is in the shared folder"


def test_a_ray_cluster_of_two_nodes_without_a_common_disk(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("hydra_plugins.hydra_ray_launcher") is None:
        pytest.skip("machines: hydra/launcher=ray: pip install 'archsearch[ray]' to run it")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    alpha, beta = room.host("alpha", 2), room.host("beta", 3)
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    head = [f"--node-ip-address={alpha.address}", "--head", "--port=6379", "--include-dashboard=false"]
    alpha.start_program([*ray, *head, "--temp-dir=/mnt/ray"])
    wait_for(lambda: any(alpha.folder.glob("ray/session_2*/sockets/raylet")), "the first node does not start")
    beta.start_program([*ray, f"--node-ip-address={beta.address}", f"--address={alpha.address}:6379"])
    count = f"import ray, time\nray.init('{alpha.address}:6379')\nwhile len(ray.nodes()) < 2: time.sleep(1)"
    assert alpha.start_program([sys.executable, "-c", count]).wait(timeout=300) == 0
    launcher = ["hydra/launcher=ray", "+hydra.launcher.ray.remote.num_cpus=1"]
    launcher += [f"+hydra.launcher.ray.init.address={alpha.address}:6379"]
    launcher += ["+hydra.launcher.ray.init.object_store_memory=null"]
    more = ["study.workers=2", f"study.trials={TRIALS}", "train.epochs=60", f"study.storage={room.storage}"]
    command = alpha.start(["-m", *launcher, *more, *TINY])
    _, errors = command.communicate(timeout=900)
    assert command.returncode == 0, errors
    found = trials(room)
    assert Counter(trial.user_attrs["state_reason"] for trial in found) == {"complete": TRIALS}
    assert {host_of(trial) for trial in found} == {"alpha", "beta"}
