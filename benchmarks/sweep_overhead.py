"""Overhead of a sweep besides its trainings: `python benchmarks/sweep_overhead.py [--trials 1010] [--sampler tpe]`.

The trainer is a stub; the check, the sampler and the database are the real ones. Prints the CPU and wall-clock time of
ten trials from trial 2, 20, 100, ... on, and the resident memory with its growth from trial 20 on. The work before the
first trial has its own line.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from archsearch.cli.compose import Composer
from archsearch.processor import processor_name
from archsearch.search.evaluator import Evaluator
from archsearch.search.loop import Event, work
from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import open_study
from archsearch.search.sweep import Sweep
from archsearch.search.task import Assignments, Candidate, Job, Outcome
from archsearch.settings.study import SamplerSettings, StudySettings
from hydra_plugins.archsearch_sweeper._grammar import read_request


class Trivial:
    """The real check, with a stub training that takes no time."""

    def __init__(self) -> None:
        composer = Composer(("data=shapes",))
        self._evaluator = Evaluator(composer.compose, composer.blocks, fingerprint="benchmark")

    def check(self, assignments: Assignments) -> Candidate:
        return self._evaluator(assignments)

    def describe(self, candidate: Candidate) -> Mapping[str, Any]:
        from archsearch.runs.record import design_yaml

        return {"design": design_yaml(candidate.experiment[1])}

    def smaller(self, candidate: Candidate) -> Candidate | None:
        return None

    def train(self, job: Job) -> Outcome:
        score = job.candidate.receptive_field % 97 / 97
        for epoch in range(1, 4):
            job.on_epoch(epoch, score)
        return Outcome(measures={"accuracy": score})


def resident() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=210)
    parser.add_argument("--sampler", default="footprint")
    parser.add_argument("--space", default="cifar")
    options = parser.parse_args()
    import yaml

    from archsearch.config_files import config_folder

    space = yaml.safe_load((config_folder() / "space" / f"{options.space}.yaml").read_text())
    request = read_request([], space)
    settings = StudySettings(trials=options.trials, sampler=SamplerSettings(name=options.sampler, seed=0))
    marks: list[tuple[float, float, int]] = []

    def listen(event: Event) -> None:
        if event.kind == "ended":
            marks.append((time.perf_counter(), time.process_time(), resident()))

    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/studies.db", slim=True)
        study = open_study(store, data="none", fingerprint="benchmark", limits="advanced_convolution")
        sweep = Sweep(space=request.space, fixed=request.fixed, folder=Path(folder) / "runs", settings=settings)
        task = Trivial()
        marks.append((time.perf_counter(), time.process_time(), resident()))
        work(study, replace(sweep), task, listen=listen, seed=0)
        infeasible = sum(trial.user_attrs["state_reason"] == "infeasible" for trial in study.trials())
        store.close()
    machine = f"{processor_name()}, Python {platform.python_version()}"
    print(f"{options.sampler} over {options.space}, {machine}, {infeasible} infeasible")
    once = (marks[1][0] - marks[0][0]) * 1000, (marks[1][1] - marks[0][1]) * 1000
    print(f"start and the first trial: {once[0]:.0f} ms of wall-clock time, {once[1]:.0f} ms of CPU time")
    print("trials              CPU ms: median, mean, maximum     wall-clock ms: median   resident MB   since trial 20")
    for trial in (2, 20, 100, 200, 500, 1000):
        few = range(trial, min(trial + 10, len(marks)))
        if len(few) < 10:
            break
        cpu = [(marks[i][1] - marks[i - 1][1]) * 1000 for i in few]
        wall = statistics.median(marks[i][0] - marks[i - 1][0] for i in few) * 1000
        grown = f"{marks[trial][2] / marks[20][2] - 1:+.1%}" if trial >= 20 else ""
        print(
            f"{trial:4}-{few[-1]:<4}   {statistics.median(cpu):21.0f} {statistics.mean(cpu):7.0f} {max(cpu):7.0f} "
            f"{wall:25.0f} {marks[trial][2] / 1e6:13.1f} {grown:>16}"
        )


if __name__ == "__main__":
    main()
