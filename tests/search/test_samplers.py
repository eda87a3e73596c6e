"""Samplers and pruners by name."""

from __future__ import annotations

from typing import Literal, get_args

import pytest
from optuna import create_study
from optuna.distributions import FloatDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GPSampler
from optuna.trial import FrozenTrial, create_trial

from archsearch.search.samplers import optuna_samplers
from archsearch.search.samplers.factory import make_pruner
from archsearch.search.samplers.optuna_samplers import make_sampler
from archsearch.settings.study import PrunerName, PrunerSettings, SamplerName, SamplerSettings


@pytest.mark.parametrize("name", [name for name in get_args(SamplerName) if name not in ("footprint", "grid")])
def test_every_sampler_of_optuna_can_be_made(name: SamplerName) -> None:
    assert isinstance(make_sampler(SamplerSettings(name=name), seed=1), BaseSampler)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_gaussian_process_learns_from_a_bounded_number_of_trials(
    direction: Literal["maximize", "minimize"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_samplers, "MOST_FITTED", 6)
    fitted: list[list[float]] = []

    def impl(self: object, study: object, completed: list[FrozenTrial], *rest: object) -> dict[str, float]:
        fitted.append([trial.values[0] for trial in completed])
        return {}

    monkeypatch.setattr(GPSampler, "_sample_relative_impl", impl)
    study = create_study(direction=direction, sampler=make_sampler(SamplerSettings(name="gp", startup=1), seed=1))
    for value in (9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0):
        study.add_trial(create_trial(params={"x": value}, distributions={"x": FloatDistribution(0, 10)}, value=value))
    study.ask({"x": FloatDistribution(0, 10)})
    best = [9.0, 8.0, 7.0] if direction == "maximize" else [1.0, 2.0, 3.0]
    assert fitted == [[*best, 6.0, 4.0, 5.0]]


@pytest.mark.parametrize("name", get_args(PrunerName))
def test_every_pruner_can_be_made(name: PrunerName) -> None:
    assert isinstance(make_pruner(PrunerSettings(name=name), epochs=9), BasePruner)
