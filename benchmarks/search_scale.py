"""Claim: a search of 5 000 trials with four workers stays small and fast: memory, open files, time per trial.

    .ci/with_postgres python benchmarks/search_scale.py [--trials 5000] [--workers 4] [--sampler random]

The check and the training are stubs that take no time; the loop, queue, sampler and database are the real ones. SQLite
is always measured, PostgreSQL if ARCHSEARCH_POSTGRES names a server. Memory is that of the largest worker and of the
parent; open files are those of the process with the most. Times cover the trials since the previous row: wall-clock
time, and CPU time of all processes together. At the end, `study show` is timed as a whole process.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archsearch.analysis.limits import Margin
from archsearch.processor import processor_name
from archsearch.search.progress import Event
from archsearch.search.space import Choice, Range, Space
from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import open_study
from archsearch.search.sweep import Sweep
from archsearch.search.task import Assignments, Candidate, Job, Outcome, hash_of
from archsearch.search.workers import run_workers
from archsearch.settings.study import SamplerSettings, StudySettings

EPOCHS = 5
MARKS = (100, 500, 1000, 2500, 5000, 10000)
SPACE = Space(
    parameters={
        **{f"arch.stages.c{stage}.width": Range(low=8, high=512, step=8, integer=True) for stage in (1, 2, 3, 4)},
        **{f"arch.stages.c{stage}.repeats": Choice(options=(1, 2, 3)) for stage in (1, 2, 3, 4)},
        "block": Choice(options=("normal", "depthwise", "dilated", "inverted")),
        "optimizer.learning_rate": Range(low=1e-4, high=1.0, log=True),
    }
)


class Trivial:
    """A stub check and training that take no time; design text and margins are as long as real ones."""

    def check(self, assignments: Assignments) -> Candidate:
        size = float(sum(value for value in assignments.values() if isinstance(value, int)))
        margins = tuple(
            Margin(limit=name, bound={"below": 5000}, found=int(size), kept=True, slack=0.5)
            for name in ("parameters", "macs", "receptive_field")
        )
        key = hash_of(dict(assignments))
        return Candidate(
            assignments=assignments, margins=margins, key=key, design_id=key, parameters=int(size), macs=int(size),
            receptive_field=int(size) % 97, features={"log_parameters": size, "log_macs": size / 2}, experiment=None,
        )  # fmt: skip

    def describe(self, candidate: Candidate) -> Mapping[str, Any]:
        return {"design": "# a design\n" * 100}

    def smaller(self, candidate: Candidate) -> Candidate | None:
        return None

    def train(self, job: Job) -> Outcome:
        score = (job.candidate.parameters % 977) / 977
        for epoch in range(1, EPOCHS + 1):
            job.on_epoch(epoch, score * epoch / EPOCHS)
        return Outcome(measures={"accuracy": score}, attrs={"epochs": EPOCHS, "seconds": 0.01, "device": "cpu"})


@dataclass(frozen=True, slots=True)
class Mark:
    """The measurements when `trials` trials had ended."""

    trials: int
    milliseconds: float
    processor: float  # CPU milliseconds of all processes together
    worker_mb: float
    parent_mb: float
    handles: int


def main() -> int:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--sampler", default="random")
    options = parser.parse_args()
    print(f"{options.workers} workers, {options.sampler} sampler; {processor_name()}, {os.cpu_count()} cores, "
          f"load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}\n")  # fmt: skip
    print("| database | trials | wall-clock ms per trial | CPU ms per trial | worker MB | parent MB | open files |")
    print("|---|---|---|---|---|---|---|")
    shown: list[str] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        storages = {"SQLite": f"sqlite:///{folder}/studies.db"}
        if server := os.environ.get("ARCHSEARCH_POSTGRES"):
            storages["PostgreSQL"] = server
        for database, storage in storages.items():
            name = f"scale-{uuid.uuid4().hex[:8]}"
            for mark in search(storage, name, options.trials, options.workers, options.sampler):
                times = f"{mark.milliseconds:.0f} | {mark.processor:.0f}"
                memory = f"{mark.worker_mb:.0f} | {mark.parent_mb:.0f}"
                print(f"| {database} | {mark.trials} | {times} | {memory} | {mark.handles} |", flush=True)
            shown.append(f"`study show` on {database}: {show_seconds(storage, name):.2f} s (median of 3)")
    print("", *shown, sep="\n")
    return 0


def search(storage: str, name: str, trials: int, workers: int, sampler: str) -> list[Mark]:
    """Search with worker processes; return the measurements on the way."""
    store = open_store(storage, slim=True)
    study = open_study(store, name, data="none", fingerprint="benchmark", limits="none")
    settings = StudySettings(trials=trials, workers=workers, sampler=SamplerSettings(name=sampler, seed=0))
    sweep = replace(Sweep(space=SPACE, folder=Path("runs"), settings=settings))
    found: list[Mark] = []
    ended, before, since, spent = 0, 0, time.perf_counter(), 0.0

    def listen(event: Event) -> None:
        nonlocal ended, before, since, spent
        if event.kind != "ended":
            return
        ended += 1
        processes = [os.getpid(), *(one.pid for one in multiprocessing.active_children() if one.pid)]
        if ended == 1:  # one-off work does not count
            before, since, spent = 1, time.perf_counter(), sum(map(processor_seconds, processes))
        if ended in MARKS or ended == trials:
            count, now = max(1, ended - before), sum(map(processor_seconds, processes))
            found.append(
                Mark(
                    trials=ended,
                    milliseconds=1000 * (time.perf_counter() - since) / count,
                    processor=1000 * (now - spent) / count,
                    worker_mb=max((resident(pid) for pid in processes[1:]), default=0.0),
                    parent_mb=resident(os.getpid()),
                    handles=max(map(handles, processes)),
                )
            )
            before, since, spent = ended, time.perf_counter(), now

    run_workers(study, sweep, Trivial, listen=listen, seed=0)
    store.close()
    return found


def processor_seconds(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def resident(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0


def handles(pid: int) -> int:
    """Return the number of open files of a process."""
    with contextlib.suppress(OSError):
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return 0


def show_seconds(storage: str, name: str) -> float:
    """Return the wall-clock seconds of `study show`."""
    call = [sys.executable, "-m", "archsearch.study", "show", name, "--storage", storage]
    spent: list[float] = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run(call, check=True, stdout=subprocess.DEVNULL)
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent)


if __name__ == "__main__":
    sys.exit(main())
