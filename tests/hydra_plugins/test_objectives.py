"""Every objective of the table has a value after a training, and is what its study maximizes or minimizes."""

from __future__ import annotations

import math

import pytest

from archsearch.analysis.seconds import SECONDS
from archsearch.cli.run import main
from archsearch.search.storage.reader import open_reader
from archsearch.settings.objectives import OBJECTIVES

TINY = [
    "-m", "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "augment=none",
    "constraints=none", "arch.width=0.25", "train.epochs=1", "train.batch_size=16", "train.device=cpu",
    "study.sampler.seed=1", "study.trials=1", "seed=choice(0,1)",
]  # fmt: skip


MEASURED = [
    name for name in OBJECTIVES if name != SECONDS
]  # that one is predicted: tests/cost/test_predicted_searches.py


@pytest.mark.parametrize("objectives", [["activations"], MEASURED], ids=["one", "all"])
def test_a_training_gives_a_value_for_every_objective(objectives: list[str]) -> None:
    assert main([*TINY, f"study.objectives=[{','.join(objectives)}]"]) == 0
    study = open_reader().study()
    (trial,) = [one for one in study.trials if one.state == "complete"]
    assert study.objectives == tuple(objectives)
    assert study.directions == tuple(OBJECTIVES[name].direction for name in objectives)
    assert trial.values is not None
    assert all(math.isfinite(value) for value in trial.values)
    for name, value in zip(objectives, trial.values, strict=True):
        if name in ("parameters", "macs", "receptive_field", "activations"):
            assert value == trial.attrs[name] > 0


def test_a_name_that_is_no_objective_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "study.objectives=[acuracy]"]) == 2
    assert "study.objectives: unknown value 'acuracy'. Did you mean 'accuracy'?" in capsys.readouterr().err
