"""What passes between the search and what it searches over: candidates, jobs, outcomes, and the task that makes them.

Plain values; no hydra, no optuna, no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from archsearch.analysis.limits import Margin
from archsearch.search.space import Value

Assignments = Mapping[str, Value]
"""Dotted keys of the configuration (or groups) and what they are set to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is known of a design before it is trained.

    `assignments` are what was proposed, `repairs` further changes that keep a limit; together they make
    it again. `key` is shared by trainings that would give the same result. `features` are what a sampler may
    learn from; `experiment` is the task's own and passes through the search unread.
    """

    assignments: Assignments
    margins: Sequence[Margin]
    key: str
    design_id: str
    parameters: int
    macs: int
    receptive_field: int
    unused: tuple[str, ...] = ()  # assignments that mean nothing to this design
    features: Mapping[str, float] = field(default_factory=dict)
    repairs: Assignments = field(default_factory=dict)
    experiment: Any = None

    @property
    def kept(self) -> bool:
        """Whether every limit is kept."""
        return all(margin.kept for margin in self.margins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training: trial `number` of the study, in `run_dir`.

    `on_epoch(epoch, accuracy)` is to be called after every epoch, 1 being the first, and ends the training by
    returning True. With `resume` the training goes on from what an earlier worker left in `run_dir`: its
    checkpoint, or its result where it had finished. `device` is None where the experiment's own is meant.
    """

    number: int
    candidate: Candidate
    run_dir: Path
    on_epoch: Callable[[int, float], bool]
    resume: bool = False
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a training came to: `measures` by objective's name, and `attrs` (JSON) to be kept with the trial."""

    measures: Mapping[str, float]
    pruned: bool = False
    attrs: Mapping[str, Any] = field(default_factory=dict)


class Task(Protocol):
    """What is searched over; made in every worker process.

    `train` raises `DivergedError`, `DeviceMemoryError`, `InterruptedRun` (a checkpoint is in `run_dir`), or anything
    else, which is recorded as a failure.
    """

    def check(self, assignments: Assignments) -> Candidate:
        """Return what is known of a design; raises `SpecError` for one that cannot be built."""
        ...

    def describe(self, candidate: Candidate) -> Mapping[str, Any]:
        """Return attributes for the trial of a design that will be trained, such as `design`: its YAML."""
        ...

    def smaller(self, candidate: Candidate) -> Candidate | None:
        """Return the same with half the batch, or None where that makes no sense."""
        ...

    def train(self, job: Job) -> Outcome:
        """Train one design."""
        ...


TaskFactory = Callable[[], Task]
"""Makes the task in a worker process; can be pickled."""
