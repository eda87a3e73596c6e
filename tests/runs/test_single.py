"""A single run as a user starts it: what it prints, and what it records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archsearch.errors import RunError
from archsearch.runs import single
from archsearch.runs.single import run_single, summary
from archsearch.runs.trial import Origin
from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import load_study


def test_it_reports_the_result_and_records_a_trial(
    tiny: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment, checked, _ = tiny()
    outcome = run_single(experiment, checked, tmp_path / "run", Origin(assignments={"block": "normal"}))
    printed = capsys.readouterr()
    assert "shapes, 50 training images, 10 validation, 20 test" in printed.err
    assert printed.out.splitlines() == [
        summary(outcome.record),
        "files: run",
        "study: shapes-none, trial 0, in " + STORAGE,
    ]
    assert "n=1 seed (0)" in summary(outcome.record)
    store = open_store(STORAGE)
    (trial,) = load_study(store, "shapes-none").trials()
    store.close()
    assert trial.state.name == "COMPLETE"
    assert trial.values == [outcome.result.validation_accuracy]
    assert trial.params["block"] == "normal"
    assert trial.user_attrs["run_dir"] == str(tmp_path / "run")
    assert trial.intermediate_values == {1: outcome.result.validation_accuracy}


STORAGE = "sqlite:///outputs/studies.db"


def test_a_failed_run_is_recorded_and_still_fails(
    tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RunError("it broke")

    monkeypatch.setattr(single, "execute", fail)
    experiment, checked, _ = tiny()
    with pytest.raises(RunError, match="it broke"):
        run_single(experiment, checked, tmp_path / "run", Origin())
    store = open_store(STORAGE)
    (trial,) = load_study(store, "shapes-none").trials()
    store.close()
    assert trial.state.name == "FAIL"
    assert (trial.user_attrs["state_reason"], trial.user_attrs["cause"]) == ("failed", "it broke")
