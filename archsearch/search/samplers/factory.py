"""The factory of the selected sampler and pruner. Imports optuna inside functions only."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, assert_never

from archsearch.search.samplers.proposer import Proposer
from archsearch.search.storage.study import Study
from archsearch.search.sweep import Sweep
from archsearch.search.task import Task
from archsearch.settings.study import PrunerSettings

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial


def make_proposer(study: Study, sweep: Sweep, task: Task, seed: int | None) -> Proposer:
    """Return the proposer for the selected sampler; raises `SpecError` if a package's sampler cannot be created."""
    proposer = _make_sampler(study, sweep, task, seed)
    if sweep.enqueued:
        from archsearch.search.samplers.enqueued import EnqueuedProposer

        proposer = EnqueuedProposer(proposer, sweep, task)
    if not sweep.rungs:
        return proposer
    from archsearch.search.samplers.rungs import RungProposer

    return RungProposer(proposer, sweep, task)


def _make_sampler(study: Study, sweep: Sweep, task: Task, seed: int | None) -> Proposer:
    if sweep.settings.sampler.name == "footprint":
        from archsearch.search.samplers.footprint import FootprintSearch

        return FootprintSearch(study, sweep, task, seed)
    from archsearch.search.samplers.optuna_samplers import OptunaProposer

    return OptunaProposer(study, sweep, task, seed)


def make_pruner(settings: PrunerSettings, epochs: int | None = None) -> BasePruner:
    """Return the selected pruner; hyperband uses `epochs`, the length of a full training, if it is known."""
    from optuna import pruners

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        match settings.name:
            case "none":
                return pruners.NopPruner()
            case "median":
                return pruners.MedianPruner(n_startup_trials=settings.startup, n_warmup_steps=settings.warmup)
            case "hyperband":
                return pruners.HyperbandPruner(
                    min_resource=settings.min_epochs, max_resource=epochs or "auto", reduction_factor=settings.reduction
                )
            case "patient":
                return _patient(settings.patience, settings.min_delta)
            case _:
                assert_never(settings.name)


def _patient(patience: int, min_delta: float) -> BasePruner:
    """Return a pruner of trainings whose best accuracy has not improved by over `min_delta` in `patience` epochs.

    Optuna's own `PatientPruner` lets a training continue as long as the accuracy does not get worse.
    """
    from optuna.pruners import BasePruner

    class Patient(BasePruner):
        def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
            scores = [trial.intermediate_values[epoch] for epoch in sorted(trial.intermediate_values)]
            before, lately = scores[:-patience], scores[-patience:]
            return bool(before) and max(lately) <= max(before) + min_delta

    return Patient()
