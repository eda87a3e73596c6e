"""What passes between the search and what it searches over: candidates, jobs, outcomes, and the task that makes them.

Plain values, and the keys by which two trainings are the same; no hydra, no optuna, no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from archsearch.analysis.limits import Margin
from archsearch.search.space import Value
from archsearch.settings.training import RESULT_NEUTRAL

Assignments = Mapping[str, Value]
"""Dotted keys of the configuration (or groups) and what they are set to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is known of a design before it is trained.

    `assignments` are what was proposed, `repairs` further changes: a dilation that keeps a limit, a width that was
    fitted, null for an option that a block does not have. Together they make the design again. `key` is shared by
    trainings that would give the same result. `features` are what a sampler may learn from; `experiment` is the task's
    own and passes through the search unread.
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


TRAINING = ("augment", "optimizer", "schedule", "train", "seed")
"""The parts of a configuration that decide the result of a training, beside the design and the data."""


def hash_of(value: object) -> str:
    """Return 16 hexadecimal digits of plain values, the same for equal ones (SHA-256 of their JSON)."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def trial_key(design_id: str, tree: Mapping[str, Any], fingerprint: str, precision: str | None = None) -> str:
    """Return 16 digits that trainings share which give the same result: design, training settings, data.

    `precision` is what `train.precision` stands for on the device; None leaves the word of the settings.
    """
    parts = {name: tree.get(name) for name in TRAINING}
    if isinstance(parts["train"], Mapping):
        parts["train"] = {key: value for key, value in parts["train"].items() if key not in RESULT_NEUTRAL}
        if precision is not None:
            # bf16 keeps the word under which earlier versions recorded it, so that their studies go on.
            parts["train"]["precision"] = "auto" if precision == "bf16" else precision
    return hash_of([design_id, json.dumps(parts, sort_keys=True, default=str), fingerprint])
