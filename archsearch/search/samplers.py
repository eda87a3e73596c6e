"""Optuna's samplers and pruners, made from settings. Imports optuna inside functions only."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, assert_never

from archsearch.settings.study import PrunerSettings, SamplerSettings

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

MOST_FITTED = 200  # trials that Optuna's Gaussian process learns from


def make_sampler(settings: SamplerSettings, seed: int | None) -> BaseSampler:
    """Return Optuna's sampler; `footprint` is not one of them, and `grid` needs none."""
    from optuna import samplers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # several are marked experimental, or come to be
        match settings.name:
            case "tpe":
                return samplers.TPESampler(
                    n_startup_trials=settings.startup, multivariate=True, constant_liar=True, seed=seed
                )
            case "random":
                return samplers.RandomSampler(seed=seed)
            case "nsgaii":
                return samplers.NSGAIISampler(population_size=settings.population, seed=seed)
            case "gp":
                return _bounded_gp(settings.startup, seed)
            case "qmc":
                return samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
            case "footprint" | "grid":
                raise AssertionError(f"'{settings.name}' has a proposer of its own")
            case _:
                assert_never(settings.name)


def _bounded_gp(startup: int, seed: int | None) -> BaseSampler:
    """Return Optuna's Gaussian process, fitted to few enough trials to answer in seconds: its cost is cubic."""
    from optuna.samplers import GPSampler

    class BoundedGP(GPSampler):
        def _sample_relative_impl(
            self,
            study: Study,
            completed_trials: list[FrozenTrial],
            running_trials: list[FrozenTrial],
            search_space: Any,
        ) -> dict[str, Any]:
            if len(completed_trials) > MOST_FITTED:
                completed_trials = _chosen(completed_trials, maximise=study.directions[0].name == "MAXIMIZE")
            return super()._sample_relative_impl(study, completed_trials, running_trials, search_space)

    return BoundedGP(n_startup_trials=startup, seed=seed)


def _chosen(trials: list[FrozenTrial], *, maximise: bool) -> list[FrozenTrial]:
    """Return `MOST_FITTED` of the trials in order: the best half by the first objective, the others the latest."""
    ranked = sorted(trials, key=lambda trial: trial.values[0], reverse=maximise)
    best = {trial.number for trial in ranked[: MOST_FITTED // 2]}
    others = [trial.number for trial in trials if trial.number not in best]
    kept = best.union(others[len(best) - MOST_FITTED :])
    return [trial for trial in trials if trial.number in kept]


def make_pruner(settings: PrunerSettings, epochs: int | None = None) -> BasePruner:
    """Return Optuna's pruner; `epochs`, where known, is the length of a whole training, for hyperband."""
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
    """Return the pruner that gives up where the accuracy of the last epochs is not better than before.

    Optuna's own goes on for as long as it is not worse.
    """
    from optuna.pruners import BasePruner

    class Patient(BasePruner):
        def prune(self, study: Study, trial: FrozenTrial) -> bool:
            scores = [trial.intermediate_values[epoch] for epoch in sorted(trial.intermediate_values)]
            before, lately = scores[:-patience], scores[-patience:]
            return bool(before) and max(lately) <= max(before) + min_delta

    return Patient()
