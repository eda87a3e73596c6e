"""A SLURM cluster of the hosts of a room: a controller on the first one, a node of one processor on each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from machine_room import Host, Room, wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIG = "/media/slurm/slurm.conf"
WORK = "/media/work"  # the shared folder that searches run in
SLURM_CONF = """
ClusterName=room
SlurmctldHost={first}({address})
SlurmUser=root
SlurmdUser=root
AuthInfo=socket=/mnt/munge/socket
SlurmctldPidFile=/mnt/slurmctld.pid
SlurmdPidFile=/mnt/slurmd.pid
StateSaveLocation=/media/slurm/state
SlurmdSpoolDir=/mnt/spool
SlurmdParameters=config_overrides
SlurmdTimeout=10
ReturnToService=2
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=1,sched_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=9 PreemptMode=OFF
"""


def why_no_cluster() -> str | None:
    """Return why there can be no cluster here, or None."""
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"{', '.join(missing)} not installed (slurm-wlm, munge)" if missing else None


class Cluster:
    """A running cluster; its commands run on the first host."""

    def __init__(self, room: Room, hosts: list[Host]) -> None:
        """Start the daemons and wait until every node is idle."""
        assert room.shared is not None, "the nodes share a folder"
        self.hosts = hosts
        for name in ("slurm/state", "work"):
            (room.shared / name).mkdir(parents=True)
        nodes = "\n".join(f"NodeName={one.name} NodeAddr={one.address} CPUs=1 State=UNKNOWN" for one in hosts)
        text = SLURM_CONF.format(first=hosts[0].name, address=hosts[0].address, nodes=nodes)
        (room.shared / "slurm" / "slurm.conf").write_text(text)
        key = os.urandom(1024)
        for host in hosts:
            (host.folder / "munge").mkdir(mode=0o755)
            (host.folder / "spool").mkdir()
            (host.folder / "munge" / "key").write_bytes(key)
            (host.folder / "munge" / "key").chmod(0o600)
            files = [f"--{name}=/mnt/munge/{name.partition('-')[0]}" for name in ("key-file", "pid-file", "log-file")]
            host.start_program(
                ["munged", "--foreground", "--socket=/mnt/munge/socket", "--seed-file=/mnt/seed", *files]
            )
            wait_for((host.folder / "munge" / "socket").exists, f"munged of {host.name} does not start", 30)
        for host, daemon in [(hosts[0], "slurmctld"), *((host, "slurmd") for host in hosts)]:
            name = ["-N", host.name] if daemon == "slurmd" else []
            log = f'exec "$@" >/mnt/{daemon}.log 2>&1'
            host.start_program(["env", f"SLURM_CONF={CONFIG}", "sh", "-c", log, "sh", daemon, "-D", *name])
        wait_for(lambda: self.states() == ["idle"] * len(hosts), f"no nodes: {self.logs()}", 90)

    def states(self) -> list[str]:
        """Return the state of every node."""
        return self.command("sinfo", "--noheader", "--Node", "--partition=main", "--format=%t", check=False).split()

    def jobs(self, *states: str) -> list[str]:
        """Return the names of the jobs in one of the states, as scancel takes them."""
        lines = self.command("squeue", "--noheader", "--format=%i %T").splitlines()
        return [line.split()[0] for line in lines if not states or line.split()[1] in states]

    def command(self, *command: str, check: bool = True) -> str:
        """Return what a command of SLURM prints on the first host."""
        process = self.hosts[0].start_program(["env", f"SLURM_CONF={CONFIG}", *command], WORK)
        out, err = process.communicate(timeout=60)
        assert not check or process.returncode == 0, f"{' '.join(command)}: {err}"
        return out

    def search(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a search on the first host, in the shared folder."""
        command = [sys.executable, "-m", "archsearch.run", "-m", "hydra/launcher=submitit_slurm", *arguments]
        return self.hosts[0].start_program(["env", f"SLURM_CONF={CONFIG}", *command], WORK)

    def logs(self) -> str:
        """Return the last lines of the daemons."""
        files = [file for host in self.hosts for file in host.folder.glob("slurm*.log")]
        return "\n".join(f"{file.name}: {file.read_text()[-600:]}" for file in files)
