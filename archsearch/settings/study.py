"""The settings of a search (`study.*`) as frozen dataclasses, with their defaults and ranges.

conf/study/default.yaml lists the same defaults; the files of conf/sampler and conf/pruner list those of their option.
Imports the standard library, `errors`, `decode`, `plugins` and `objectives` only: no optuna, no hydra.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Annotated, Literal, get_args

from archsearch.decode import Range, check_ranges
from archsearch.errors import SpecError
from archsearch.formatting import pluralize
from archsearch.plugins import SAMPLERS, require_name
from archsearch.settings.objectives import require_objective

SamplerName = Literal["footprint", "tpe", "random", "grid", "nsgaii", "gp", "qmc"]
BUILT_IN_SAMPLERS: tuple[str, ...] = get_args(SamplerName)
PrunerName = Literal["none", "median", "hyperband", "patient"]

LONGEST_NAME = 500  # characters of a study's name; the database has room for 512
TRIALS = 50  # trained designs, if neither `trials` nor `budget` is given

Count = Annotated[int, Range(at_least=1)]
CountFromZero = Annotated[int, Range(at_least=0)]
CountFromTwo = Annotated[int, Range(at_least=2)]

RUNG_SAMPLERS = ("footprint", "random", "qmc")
"""Samplers that support rungs: their model takes the rung of a value into account, or they have no model."""
LOWEST_RUNG, REDUCTION = 2, 3  # least epochs of a rung; ratio of the epochs of successive rungs


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """How designs are proposed: the first `startup` designs are spread or random, the others come from the model."""

    name: str = "footprint"  # one of `BUILT_IN_SAMPLERS` or of an installed package
    seed: int | None = None  # null: a different one for every run
    startup: Count = 8
    population: CountFromTwo = 16  # nsgaii only
    cost: Literal["train_seconds"] | None = None  # footprint only: what an improvement is divided by

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value that is out of range, or for an unknown sampler."""
        require_name(self.name, BUILT_IN_SAMPLERS, SAMPLERS, "study.sampler.name")
        check_ranges(self, "study.sampler")
        if self.cost is not None and self.name != "footprint":
            fix = "Set sampler=footprint, or study.sampler.cost=null."
            raise SpecError("study.sampler.cost", f"the sampler '{self.name}' takes no cost into account", fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunerSettings:
    """When a training is pruned; epochs count from 1.

    `median` compares with the median of other trials at the same epoch, after `startup` trials and `warmup` epochs;
    `patient` prunes after `patience` evaluated epochs without an improvement of `min_delta`; `hyperband` trains at
    least `min_epochs` and keeps one of `reduction` trials at each rung.
    """

    name: PrunerName = "none"
    startup: CountFromZero = 5
    warmup: CountFromZero = 2
    patience: Count = 5
    min_delta: Annotated[float, Range(at_least=0)] = 0.0
    min_epochs: Count = 1
    reduction: CountFromTwo = 3

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value that is out of range."""
        check_ranges(self, "study.pruner")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySettings:
    """A search: `trials` is the total of trained designs over all runs of a command, `budget` the time of one run.

    A worker writes a heartbeat every `heartbeat` seconds; a worker without one for `grace` seconds counts as dead (on
    the same machine, as soon as its process has ended). It waits at most `patience` seconds for a fault of the machine
    to pass: a full disk, a database that does not answer, missing data.
    """

    name: str | None = None  # null: one per data set and limits
    storage: str = "sqlite:///outputs/studies.db"
    trials: Count | None = None  # null: `TRIALS`, or as many as the budget allows
    budget: str | float | None = None  # 2h, 1h30m, 20m, 90s or seconds: wall-clock time of one run of the command
    workers: Count = 1
    objectives: tuple[str, ...] = ("accuracy",)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    pruner: PrunerSettings = field(default_factory=PrunerSettings)
    rungs: Literal["auto"] | tuple[Count, ...] | None = "auto"  # epochs; see `rungs_up_to`
    enqueue: tuple[Mapping[str, str | int | float | bool | None], ...] = ()  # designs to train first: values of keys
    warm_start: str | None = None  # an earlier study that the sampler learns from: NAME, or STORAGE#NAME
    repair: bool = True  # increase a dilation if a sampled design misses a limit, such as the receptive field
    retry_failed: bool = False  # train failed designs again
    max_failures: Count = 5  # consecutive failures after which the search stops
    heartbeat: float = 10.0
    grace: float = 60.0
    patience: Annotated[float, Range(at_least=0)] = 600.0  # seconds
    artifacts: str | None = None  # a folder that all machines can reach, for copies of the files of trials

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value that is out of range, or for values that are inconsistent."""
        if self.name == "":
            raise SpecError("study.name", "must not be empty", "null makes a name from the data set and the limits.")
        if self.name is not None and (len(self.name) > LONGEST_NAME or not self.name.isprintable()):
            what = f"must be at most {LONGEST_NAME} characters, none of them a control character"
            raise SpecError("study.name", what, "Its folders are named after it.")
        check_ranges(self, "study")
        _ = self.seconds
        if self.artifacts is not None and not PurePath(self.artifacts).is_absolute():
            fix = "Give the whole path of a folder that is mounted on all machines."
            raise SpecError("study.artifacts", f"expected an absolute folder, got '{self.artifacts}'", fix)
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise SpecError("study.objectives", "must list at least one objective, without repetition")
        for name in self.objectives:
            require_objective(name)
        if not 0 < self.heartbeat < self.grace:
            what = f"must be above 0 and below study.grace = {self.grace:g} s, got {self.heartbeat:g} s"
            raise SpecError("study.heartbeat", what)
        if len(self.objectives) > 1 and self.pruner.name != "none":
            fix = "Set pruner=none, or search for one objective."
            raise SpecError("study.pruner", "needs a single objective to compare trainings by", fix)
        if self.pruner.name != "none" and self.objectives != ("accuracy",):
            fix = "Set pruner=none, or study.objectives=[accuracy]."
            raise SpecError("study.pruner", "compares trainings by their accuracy, which is not the objective", fix)
        self._check_sampling()

    def _check_sampling(self) -> None:
        if self.warm_start is not None:
            if not self.warm_start.rpartition("#")[2]:
                raise SpecError("study.warm_start", "names no study", "Write NAME, or STORAGE#NAME.")
            if self.sampler.name != "footprint":
                what = f"is for the model of the sampler 'footprint', not for '{self.sampler.name}'"
                raise SpecError("study.warm_start", what, "Set sampler=footprint, or leave it out.")
        if isinstance(self.rungs, tuple):
            if not self.rungs or list(self.rungs) != sorted(set(self.rungs)):
                raise SpecError("study.rungs", "must list epochs in ascending order", "For example [2, 4, 10].")
            if self._without_rungs:
                raise SpecError("study.rungs", self._without_rungs, "Leave it at auto, or set it to null.")

    @property
    def seconds(self) -> float | None:
        """The budget in seconds; None if there is none. Raises `SpecError` if it is not a valid time."""
        return None if self.budget is None else _seconds_of(self.budget)

    @property
    def most_trials(self) -> float:
        """The number of trained designs at which the search ends; infinite if only the budget ends it."""
        return self.trials or (TRIALS if self.budget is None else math.inf)

    def rungs_up_to(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs of each rung; the last rung is a full training of `epochs`.

        Empty if the search has no rungs. Raises `SpecError` if a rung has more epochs than a full training.
        """
        if self.rungs is None or (self.rungs == "auto" and self._without_rungs):
            return ()
        if isinstance(self.rungs, tuple):
            if (longest := max(self.rungs, default=0)) > epochs:
                what = f"has {pluralize(longest, 'epoch')}, and a whole training {epochs} (train.epochs)"
                raise SpecError("study.rungs", what, "The last rung is a whole training.")
            found = [*(rung for rung in self.rungs if rung < epochs), epochs]
        else:
            found, lower = [epochs], round(epochs / REDUCTION)
            while lower >= LOWEST_RUNG:
                found, lower = [lower, *found], round(lower / REDUCTION)
        return tuple(found) if len(found) > 1 else ()

    @property
    def _without_rungs(self) -> str:
        """Why `auto` results in no rungs, or why a list of rungs is rejected; empty if the search can have rungs."""
        if self.objectives not in (("accuracy",), ("loss",)):
            return "compares trainings by one objective, accuracy or loss"
        if self.pruner.name != "none":
            return f"ends trainings early, as the pruner '{self.pruner.name}' does: choose one of them"
        known = RUNG_SAMPLERS[:1] if self.rungs == "auto" else RUNG_SAMPLERS
        if self.sampler.name not in known:
            return f"needs a sampler that supports rungs ({', '.join(RUNG_SAMPLERS)}), not '{self.sampler.name}'"
        return ""


_TIME = re.compile(r"(?=\d)(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s)?", re.ASCII)


def _seconds_of(budget: str | float) -> float:
    """Return a time such as `1h30m` in seconds."""
    found = None
    if not isinstance(budget, str):
        found = float(budget)
    elif (parts := _TIME.fullmatch(budget.strip())) is not None:
        hours, minutes, seconds = (float(part or 0) for part in parts.groups())
        found = 3600 * hours + 60 * minutes + seconds
    if found is None or not 0 < found < math.inf:
        what = f"must be a time above 0, such as 2h, 1h30m, 20m, 90s or a number of seconds, got '{budget}'"
        raise SpecError("study.budget", what)
    return found
