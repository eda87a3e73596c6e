"""A tiny experiment on a few drawn images."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archsearch.analysis.check import Checked, check_design
from archsearch.cli.compose import Composer
from archsearch.data import Dataset, load_dataset
from archsearch.settings.experiment import Experiment, decode_experiment

TINY = [
    "data=shapes",
    "data.shapes.train_images=60",
    "data.shapes.test_images=20",
    "arch.width=0.25",
    "train.epochs=1",
    "train.batch_size=16",
    "train.compile=false",
    "train.device=cpu",
    "constraints=none",
]

Tiny = tuple[Experiment, Checked, Dataset]


@pytest.fixture
def tiny() -> Callable[..., Tiny]:
    """Return a function from overrides to an experiment, its checked design and its data."""

    def make(*overrides: str) -> Tiny:
        composer = Composer([*TINY, *overrides])
        experiment = decode_experiment(composer.compose({}), composer.blocks)
        checked = check_design(experiment.design, experiment.limits, composer.blocks)
        return experiment, checked, load_dataset(experiment.data)

    return make
