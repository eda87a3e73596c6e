"""Optuna's samplers and pruners, made from settings. Imports optuna inside functions only."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, assert_never

from archsearch.settings.study import PrunerSettings, SamplerSettings

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


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
                return samplers.GPSampler(n_startup_trials=settings.startup, seed=seed)
            case "qmc":
                return samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
            case "footprint" | "grid":
                raise AssertionError(f"'{settings.name}' has a proposer of its own")
            case _:
                assert_never(settings.name)


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
                return pruners.PatientPruner(None, patience=settings.patience, min_delta=settings.min_delta)
            case _:
                assert_never(settings.name)
