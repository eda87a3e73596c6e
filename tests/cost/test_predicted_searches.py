"""A search under a limit on seconds: designs are fitted to it, and its trainings correct the predictions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from archsearch.cost import store
from archsearch.run import main as run


def test_a_search_keeps_its_limit_records_predictions_and_learns(
    cached: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cached(device="cpu", threads=1)
    monkeypatch.chdir(tmp_path)
    command = [
        "-m", "arch=c1c2c3c4", "constraints=none", "constraints.train_seconds={below: 2}", "arch.width=fit",
        "arch.stages.c3.repeats=choice(1,2,3)", "study.trials=2", "study.sampler.seed=0",
        "study.objectives=[accuracy,train_seconds]", "study.sampler.cost=train_seconds",
        "data=shapes", "data.shapes.train_images=200", "data.shapes.test_images=20", f"data.cache={tmp_path}",
        "train.epochs=1", "train.batch_size=50", "train.device=cpu", "train.threads=1",
    ]  # fmt: skip
    assert run(command) == 0
    assert len(store.observed(file)) == 2
    with sqlite3.connect("outputs/studies.db") as database:
        rows = database.execute("SELECT trial_id, key, value_json FROM trial_user_attributes").fetchall()
        values = database.execute("SELECT trial_id, value FROM trial_values WHERE objective = 1").fetchall()
    attrs: dict[int, dict[str, object]] = {}
    for trial, key, value in rows:
        attrs.setdefault(trial, {})[key] = json.loads(value)
    trained = {trial: one for trial, one in attrs.items() if one.get("state_reason") == "complete"}
    assert len(trained) == len(values) == 2
    for trial, predicted in values:
        assert trained[trial]["train_seconds"] == pytest.approx(predicted)
        assert 0 < predicted < 2
        assert set(trained[trial]["repairs"]) == {"arch.width"}  # type: ignore[call-overload]
