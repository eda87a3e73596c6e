"""The settings of a search (`study.*`) as frozen values, with their defaults and ranges.

conf/study/default.yaml lists the same defaults; the files of conf/sampler and conf/pruner list those of their kind.
Imports the standard library, `errors`, `decode`, `plugins` and `objectives` only: no optuna, no hydra.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Annotated, Literal, get_args

from archsearch.decode import Range, check_ranges
from archsearch.errors import SpecError
from archsearch.plugins import SAMPLERS, require_name
from archsearch.settings.objectives import require_objective

SamplerName = Literal["footprint", "tpe", "random", "grid", "nsgaii", "gp", "qmc"]
BUILT_IN_SAMPLERS: tuple[str, ...] = get_args(SamplerName)
PrunerName = Literal["none", "median", "hyperband", "patient"]

LONGEST_NAME = 500  # characters of a study's name; the database has room for 512

Count = Annotated[int, Range(at_least=1)]
CountFromZero = Annotated[int, Range(at_least=0)]
CountFromTwo = Annotated[int, Range(at_least=2)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """How designs are proposed; the first `startup` designs are spread or random, the others come from the model."""

    name: str = "footprint"  # one of `BUILT_IN_SAMPLERS` or of an installed package
    seed: int | None = None  # null: another one for every run
    startup: Count = 8
    population: CountFromTwo = 16  # nsgaii only
    cost: Literal["train_seconds"] | None = None  # footprint only: what an improvement is divided by

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value out of its range, or a name that is no sampler."""
        require_name(self.name, BUILT_IN_SAMPLERS, SAMPLERS, "study.sampler.name")
        check_ranges(self, "study.sampler")
        if self.cost is not None and self.name != "footprint":
            fix = "Set sampler=footprint, or study.sampler.cost=null."
            raise SpecError("study.sampler.cost", f"the sampler '{self.name}' takes no cost into account", fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunerSettings:
    """When a training is pruned; epochs count from 1.

    `median` compares with the median of the others at the same epoch, after `startup` trials and `warmup` epochs;
    `patient` prunes after `patience` epochs without an improvement of `min_delta`; `hyperband` trains at least
    `min_epochs` and keeps one of `reduction` trials at each rung.
    """

    name: PrunerName = "none"
    startup: CountFromZero = 5
    warmup: CountFromZero = 2
    patience: Count = 5
    min_delta: Annotated[float, Range(at_least=0)] = 0.0
    min_epochs: Count = 1
    reduction: CountFromTwo = 3

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value out of its range."""
        check_ranges(self, "study.pruner")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySettings:
    """A search: `trials` is the total of trained designs over all runs of the same command.

    A worker writes a heartbeat every `heartbeat` seconds; one without a heartbeat for `grace` seconds counts as dead
    (on this machine as soon as its process is gone). It waits `patience` seconds at most for a fault of the machine to
    pass: a full disk, a database that does not answer, data that are missing.
    """

    name: str | None = None  # null: one per data set and limits
    storage: str = "sqlite:///outputs/studies.db"
    trials: Count = 50
    workers: Count = 1
    objectives: tuple[str, ...] = ("accuracy",)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    pruner: PrunerSettings = field(default_factory=PrunerSettings)
    repair: bool = True  # raise dilations where a design misses a lower limit of the receptive field
    retry_failed: bool = False  # train failed designs again
    max_failures: Count = 5  # in a row, after which the search stops
    heartbeat: float = 10.0
    grace: float = 60.0
    patience: Annotated[float, Range(at_least=0)] = 600.0  # seconds
    artifacts: str | None = None  # a folder that all machines reach, for copies of the files of finished trials

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value out of its range, or values that do not go together."""
        if self.name == "":
            raise SpecError("study.name", "must not be empty", "null makes a name from the data set and the limits.")
        if self.name is not None and (len(self.name) > LONGEST_NAME or not self.name.isprintable()):
            what = f"must be at most {LONGEST_NAME} characters, none of them a control character"
            raise SpecError("study.name", what, "Its folders are named after it.")
        check_ranges(self, "study")
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
