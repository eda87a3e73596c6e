"""The interface between the search and what it searches over: candidates, jobs, outcomes, and the task's protocol.

Also the keys that identify equal trainings. Imports no hydra, no optuna and no torch.
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
"""Values by dotted key (or group) of the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is known about a design before it is trained.

    `assignments` are the proposal, and `repairs` are further changes: a dilation that keeps a limit, a fitted width,
    null for an option that a block does not have. Together they reproduce the design. Trainings that would give the
    same result share a `key`. A sampler may learn from `features`. `experiment` belongs to the task; the search does
    not read it.
    """

    assignments: Assignments
    margins: Sequence[Margin]
    key: str
    design_id: str
    parameters: int
    macs: int
    receptive_field: int
    unused: tuple[str, ...] = ()  # keys of assignments that have no effect on this design
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

    The task calls `on_epoch(epoch, accuracy)` after every epoch, counted from 1, and ends the training if it returns
    True. With `resume`, the training continues from what an earlier worker left in `run_dir`: its checkpoint, or its
    result if it had finished. `device` is None for the experiment's own device.
    """

    number: int
    candidate: Candidate
    run_dir: Path
    on_epoch: Callable[[int, float], bool]
    resume: bool = False
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a training: `measures` by the name of the objective, and `attrs` (JSON) to store in the trial."""

    measures: Mapping[str, float]
    pruned: bool = False
    attrs: Mapping[str, Any] = field(default_factory=dict)


class Task(Protocol):
    """What is searched over; created in every worker process.

    `train` raises `DivergedError`, `DeviceMemoryError`, `InterruptedRun` (a checkpoint is in `run_dir`), or any other
    error, which is recorded as a failure.
    """

    def check(self, assignments: Assignments) -> Candidate:
        """Return the candidate of a design; raises `SpecError` for a design that cannot be built."""
        ...

    def describe(self, candidate: Candidate) -> Mapping[str, Any]:
        """Return the attributes for the trial of a design that will be trained, such as `design`, its YAML."""
        ...

    def smaller(self, candidate: Candidate) -> Candidate | None:
        """Return the candidate with half the batch size, or None if the batch size cannot be halved."""
        ...

    def train(self, job: Job) -> Outcome:
        """Train one design."""
        ...


TaskFactory = Callable[[], Task]
"""Creates the task in a worker process; must be picklable."""


TRAINING = ("augment", "optimizer", "schedule", "train", "seed")
"""The parts of a configuration that, with the design and the data, determine the result of a training."""


def hash_of(value: object) -> str:
    """Return a hash of plain values: the first 16 hexadecimal digits of the SHA-256 of their JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def training_settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a configuration that change the result of a training, by the names in `TRAINING`."""
    parts = {name: tree.get(name) for name in TRAINING}
    if isinstance(parts["train"], Mapping):
        parts["train"] = {key: value for key, value in parts["train"].items() if key not in RESULT_NEUTRAL}
    return parts


def trial_key(design_id: str, tree: Mapping[str, Any], fingerprint: str, precision: str | None = None) -> str:
    """Return the key of trainings with the same result: a 16-digit hash of design, training settings and data.

    `precision` is the precision that `train.precision` resolves to on the device; None keeps the setting as it is.
    """
    parts = training_settings(tree)
    if precision is not None and isinstance(parts["train"], Mapping):
        # bf16 is hashed as "auto", as in earlier versions, so that their studies can continue.
        parts["train"] = {**parts["train"], "precision": "auto" if precision == "bf16" else precision}
    return hash_of([design_id, json.dumps(parts, sort_keys=True, default=str), fingerprint])
