"""A model with rates that are easy to compute by, and one in the cache of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archsearch.cost.model import StepModel
from archsearch.cost.probes import checks, probes
from archsearch.cost.store import conditions_of, model_file, write_model
from archsearch.cost.work import work_of
from archsearch.settings.training import OptimizerSettings, TrainSettings


@pytest.fixture
def model() -> StepModel:
    """Return a model by which a step costs 1 ns a multiply-accumulate of its images."""
    kinds = {kind for one in (*probes(), *checks()) for kind in work_of(one.plan.layers, one.plan.input_shape)[0]}
    rates = dict.fromkeys([*kinds, "step"], (0.0, 1e-9, 0.0, 0.0))
    return StepModel(device="a machine", rates=rates, evaluated_image=0.5, error=0.125)


@pytest.fixture
def cached(model: StepModel, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the model where a run with these settings finds it, and returns its file."""

    def write(**train: object) -> Path:
        conditions = conditions_of(TrainSettings(**train), OptimizerSettings(name="muon"))  # type: ignore[arg-type]
        file = model_file(str(tmp_path), conditions)
        write_model(file, model, conditions)
        return file

    return write
