"""What a search is asked to do (`study.*`), as frozen values; the YAML twins are conf/study, conf/sampler, conf/pruner.

Imports the standard library and `errors` only (`plugins` for the sampler of an installed package): no optuna, no hydra.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from archsearch.errors import SpecError

SamplerName = Literal["footprint", "tpe", "random", "grid", "nsgaii", "gp", "qmc"]
BUILT_IN_SAMPLERS: tuple[str, ...] = get_args(SamplerName)
SAMPLERS = "archsearch.samplers"  # the entry-point group of samplers in installed packages
PrunerName = Literal["none", "median", "hyperband", "patient"]
ObjectiveName = Literal[
    "accuracy", "loss", "parameters", "macs", "receptive_field", "activations", "seconds", "images_per_second"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """How designs are proposed; `startup` designs are spread or random before a model is asked."""

    name: str = "footprint"  # one of `BUILT_IN_SAMPLERS` or of an installed package
    seed: int | None = None  # null: another one for every run
    startup: int = 8
    population: int = 16  # nsgaii only

    def __post_init__(self) -> None:
        if self.name not in BUILT_IN_SAMPLERS:
            from archsearch.plugins import require_name  # here, since importlib.metadata takes time to import

            require_name(self.name, BUILT_IN_SAMPLERS, SAMPLERS, "study.sampler.name")
        _at_least("study.sampler.startup", self.startup, 1)
        _at_least("study.sampler.population", self.population, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunerSettings:
    """When a training is given up; epochs count from 1.

    `median` compares with the median of the others at the same epoch, after `startup` trials and `warmup` epochs;
    `patient` gives up after `patience` epochs without an improvement of `min_delta`; `hyperband` needs `min_epochs`
    and divides the rest by `reduction`.
    """

    name: PrunerName = "none"
    startup: int = 5
    warmup: int = 2
    patience: int = 5
    min_delta: float = 0.0
    min_epochs: int = 1
    reduction: int = 3

    def __post_init__(self) -> None:
        for key in ("startup", "warmup"):
            _at_least(f"study.pruner.{key}", getattr(self, key), 0)
        for key in ("patience", "min_epochs"):
            _at_least(f"study.pruner.{key}", getattr(self, key), 1)
        _at_least("study.pruner.reduction", self.reduction, 2)
        if self.min_delta < 0:
            raise SpecError("study.pruner.min_delta", f"must not be negative, is {self.min_delta}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySettings:
    """A search: `trials` is the total of trained designs over all runs of the same command.

    A worker writes every `heartbeat` seconds that it lives; one that has not for `grace` seconds is taken for
    dead (one on this machine as soon as its process is gone). `trial` is set where a launcher starts one job.
    """

    name: str | None = None  # null: one per data set and limits
    storage: str = "sqlite:///outputs/studies.db"
    trials: int = 50
    workers: int = 1
    objectives: tuple[ObjectiveName, ...] = ("accuracy",)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    pruner: PrunerSettings = field(default_factory=PrunerSettings)
    repair: bool = True  # raise dilations where a design misses a lower limit of the receptive field
    retry_failed: bool = False  # try designs again that failed before
    max_failures: int = 5  # in a row, after which the search stops
    heartbeat: float = 10.0
    grace: float = 60.0
    trial: int | None = None

    def __post_init__(self) -> None:
        if self.name == "":
            raise SpecError("study.name", "must not be empty", "null takes one per data set and limits.")
        for key in ("trials", "workers", "max_failures"):
            _at_least(f"study.{key}", getattr(self, key), 1)
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise SpecError("study.objectives", "must name at least one objective, each once")
        if not 0 < self.heartbeat < self.grace:
            what = f"must be above 0 and below study.grace, is {self.heartbeat:g} of {self.grace:g} s"
            raise SpecError("study.heartbeat", what)
        if len(self.objectives) > 1 and self.pruner.name != "none":
            fix = "Set pruner=none, or search for one objective."
            raise SpecError("study.pruner", "trainings can be compared midway by one objective only", fix)
        if self.pruner.name != "none" and self.objectives != ("accuracy",):
            fix = "Set pruner=none, or study.objectives=[accuracy]."
            raise SpecError("study.pruner", "what is compared midway is the accuracy", fix)


def _at_least(where: str, value: int, least: int) -> None:
    if value < least:
        raise SpecError(where, f"must be at least {least}, is {value}")
