"""Samplers and pruners by name."""

from __future__ import annotations

from typing import get_args

import pytest
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from archsearch.search.samplers import make_pruner, make_sampler
from archsearch.settings.study import PrunerName, PrunerSettings, SamplerName, SamplerSettings


@pytest.mark.parametrize("name", [name for name in get_args(SamplerName) if name not in ("footprint", "grid")])
def test_every_sampler_of_optuna_can_be_made(name: SamplerName) -> None:
    assert isinstance(make_sampler(SamplerSettings(name=name), seed=1), BaseSampler)


@pytest.mark.parametrize("name", get_args(PrunerName))
def test_every_pruner_can_be_made(name: PrunerName) -> None:
    assert isinstance(make_pruner(PrunerSettings(name=name), epochs=9), BasePruner)
