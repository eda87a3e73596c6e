"""An experiment: all settings of a run, decoded from one composed mapping.

Imports the design, the analysis and the other settings; no torch, no hydra, no optuna.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from archsearch.analysis.limits import Limits, decode_limits
from archsearch.analysis.seconds import SECONDS
from archsearch.decode import decode, describe, suggest
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design
from archsearch.errors import SpecError
from archsearch.settings.augment import AugmentPolicy, decode_policy
from archsearch.settings.data import DataSettings
from archsearch.settings.study import StudySettings
from archsearch.settings.tracking import TrackingSettings
from archsearch.settings.training import OptimizerSettings, ScheduleSettings, TrainSettings

KEYS = (
    "seed", "block", "arch", "constraints", "data", "augment", "optimizer", "schedule", "train", "study", "space",
    "tracking", "experiment", "resume",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A design, its limits, and all settings of its training."""

    seed: int
    design: DesignSpec
    limits: Limits
    data: DataSettings
    augment: AugmentPolicy
    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    train: TrainSettings
    study: StudySettings
    tracking: TrackingSettings
    resume: str | None

    @property
    def asks_for_seconds(self) -> bool:
        """Whether an objective, the sampler or a limit needs the predicted training time."""
        searched = SECONDS in self.study.objectives or self.study.sampler.cost == SECONDS
        return searched or self.limits.train_seconds is not None


def decode_experiment(tree: Mapping[str, Any], blocks: BlockLookup) -> Experiment:
    """Return the experiment that the composed mapping `tree` describes; raise `SpecError` with the dotted key."""
    for key in tree:
        if key in ("sampler", "pruner"):
            raise SpecError(key, "its settings are below the key study", f"Write study.{key}.NAME=VALUE.")
        if key == "experiment" and tree[key]:
            fix = "On the command line, leave out 'experiment.'. A file in experiment/ begins with # @package _global_"
            raise SpecError("experiment", "an experiment sets keys at the top, and has none of its own", fix)
        if key not in KEYS:
            raise SpecError(str(key), "unknown key", suggest(str(key), KEYS))
    resume = tree.get("resume")
    if resume is not None and not isinstance(resume, str):
        raise SpecError("resume", f"must be a run folder, got {describe(resume)}")
    return Experiment(
        seed=_decode_seed(tree.get("seed", 0)),
        design=decode_design(tree.get("arch"), blocks),
        limits=decode_limits(tree.get("constraints")),
        data=decode(DataSettings, tree.get("data", {}), "data"),
        augment=decode_policy(tree.get("augment", {})),
        optimizer=decode(OptimizerSettings, tree.get("optimizer", {}), "optimizer"),
        schedule=decode(ScheduleSettings, tree.get("schedule", {}), "schedule"),
        train=decode(TrainSettings, tree.get("train", {}), "train"),
        study=decode(StudySettings, tree.get("study", {}), "study"),
        tracking=decode(TrackingSettings, tree.get("tracking", {}), "tracking"),
        resume=resume,
    )


def require_training(tree: Mapping[str, Any], seen: dict[str, object]) -> None:
    """Raise `SpecError` if the settings of a training cannot be decoded from `tree`.

    Parts in `seen` are not decoded again; decoded parts are added to it.
    """
    for name, read in _TRAINING.items():
        raw = tree.get(name, 0 if name == "seed" else {})
        if raw is not seen.get(name):
            read(raw)
            seen[name] = raw


def _decode_seed(raw: object) -> int:
    if type(raw) is not int or raw < 0:
        raise SpecError("seed", f"must be an integer of at least 0, got {describe(raw)}")
    return raw


_TRAINING: dict[str, Callable[[Any], object]] = {
    "seed": _decode_seed,
    "augment": decode_policy,
    "optimizer": partial(decode, OptimizerSettings, where="optimizer"),
    "schedule": partial(decode, ScheduleSettings, where="schedule"),
    "train": partial(decode, TrainSettings, where="train"),
}
"""The parts of an experiment that describe the training, with the function that decodes each."""
