"""Trainings in processes of their own, and the file that keeps what they gave."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

TINY = [
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch=quick", "arch.width=0.25",
    "constraints=none", "train.batch_size=16", "train.device=cpu", "train.kernels=torch", "train.compile=false",
]  # fmt: skip


@pytest.fixture
def trainings(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("_trainings")


def test_what_was_added_is_there_for_the_next_command(trainings: ModuleType) -> None:
    file = Path("outputs/some.jsonl")
    trainings.Records(file).add("first", {"accuracy": 0.5})
    trainings.Records(file).add("second", {"accuracy": None})
    assert trainings.Records(file).by_key == {"first": {"accuracy": 0.5}, "second": {"accuracy": None}}
    assert len(file.read_text().splitlines()) == 2
    assert [one.name for one in Path("outputs").iterdir()] == ["some.jsonl"]


def test_a_stopped_training_goes_on(trainings: ModuleType, tmp_path: Path) -> None:
    training = trainings.Training([*TINY, "train.epochs=30", "train.eval_every=30"], tmp_path / "a run")
    running = training.start()
    until = time.monotonic() + 300
    while not trainings.history(training) and time.monotonic() < until and running.process.poll() is None:
        time.sleep(0.01)
    running.stop()
    assert running.process.returncode == 130
    done = len(trainings.history(training))
    assert 1 <= done < 30
    record = training.run()
    assert training.run() == record, "what has ended is not trained again"
    assert (record["epochs"], len(record["history"])) == (30, 30)
    assert 0 <= record["accuracy"]["test"] <= 1
    training.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_fails_says_why(trainings: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(trainings.TrainingError, match=r"failed with exit code 2: block: unknown option 'nromal'"):
        trainings.Training([*TINY, "block=nromal"], tmp_path / "run").run()


def test_mean_and_deviation(trainings: ModuleType) -> None:
    assert (trainings.spread([1.0]), trainings.spread([1.0, 3.0], 1)) == ("1.00", "2.0 +- 1.4")
