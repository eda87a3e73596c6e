"""The genetic algorithm NSGA-III of Optuna, for three objectives or more."""

import optuna

from archsearch.settings.study import SamplerSettings


def nsgaiii(settings: SamplerSettings, seed: int | None) -> optuna.samplers.BaseSampler:
    """Return the sampler; a generation has `study.sampler.population` trials."""
    return optuna.samplers.NSGAIIISampler(population_size=settings.population, seed=seed)
