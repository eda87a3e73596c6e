"""All settings of a run, decoded from one mapping."""

from __future__ import annotations

from typing import Any

import pytest

from archsearch.cli.compose import Composer
from archsearch.errors import SpecError
from archsearch.settings.experiment import decode_experiment, require_training


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer()


def test_the_default_is_whole(composer: Composer) -> None:
    experiment = decode_experiment(composer.compose({}), composer.blocks)
    assert experiment.design.name == "c1c2c3c4"
    assert (experiment.seed, experiment.resume) == (0, None)
    assert experiment.data.name == "auto"
    assert len(experiment.augment.steps) == 3
    assert experiment.study.storage == "sqlite:///outputs/studies.db"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.epochs": "3"}, "train.epochs: must be an integer, got the string '3'. Write it without quotes."),
        ({"train.epochs": 0}, "train.epochs: must be at least 1, got 0"),
        ({"optimizer.learning_rat": 1.0}, "optimizer.learning_rat: unknown key for optimizer. Did you mean"),
        ({"data.validation": 1.5}, "data.validation: must be at least 0 and below 1, got 1.5"),
        ({"augment.executor": "gpu"}, "augment.executor: unknown value 'gpu'"),
        ({"constraints.parameters": {"under": 3}}, "constraints.parameters.under: unknown key"),
        ({"study.trials": 0}, "study.trials"),
        ({"schedule.warmup": True}, "schedule.warmup: must be a number, got true"),
    ],
)
def test_messages(composer: Composer, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode_experiment(composer.compose(changes), composer.blocks)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"sed": 3}, "sed: unknown key. Did you mean 'seed'?"),
        ({"experiment": {"train": {"epochs": 2}}}, "experiment: an experiment sets keys at the top, and has none"),
        ({"pruner": {"startup": 2}}, "pruner: its settings are below the key study. Write study.pruner.NAME=VALUE."),
        ({"seed": -1}, "seed: must be an integer of at least 0, got -1"),
        ({"seed": 1.5}, "seed: must be an integer of at least 0, got 1.5"),
        ({"resume": 3}, "resume: must be a run folder, got 3"),
    ],
)
def test_top_keys(composer: Composer, raw: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode_experiment({**composer.compose({}), **raw}, composer.blocks)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer.learning_rate": "fast"}, "optimizer.learning_rate: must be a number, got the string 'fast'"),
        ({"train.epochs": 0}, "train.epochs: must be at least 1, got 0"),
        ({"seed": -1}, "seed: must be an integer of at least 0, got -1"),
        ({"schedule.warmup": 2.0}, "schedule.warmup: must be at least 0 and below 1, got 2.0"),
        ({"augment.executor": "gpu"}, "augment.executor: unknown value 'gpu'"),
    ],
)
def test_a_training_that_cannot_be_read(composer: Composer, changes: dict[str, Any], message: str) -> None:
    seen: dict[str, object] = {}
    require_training(composer.compose({}), seen)
    with pytest.raises(SpecError) as caught:
        require_training(composer.compose(changes), seen)
    assert message in str(caught.value)
    require_training(composer.compose({}), seen)
