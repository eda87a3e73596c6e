"""What a run leaves in the study database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archsearch.analysis.limits import Limits, decode_limits
from archsearch.errors import SpecError, StorageError
from archsearch.runs.trial import NO_VALUE, Origin, limits_record, prepare_study, record_failure, record_trial
from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import load_study

RECORD = {"data": "shapes", "data_fingerprint": "f" * 16, "accuracy": {"validation": 0.5, "test": 0.4}, "seconds": 3.0}


def trials(name: str) -> list[Any]:
    store = open_store("sqlite:///outputs/studies.db")
    try:
        return load_study(store, name).trials()
    finally:
        store.close()


def test_a_trial_explains_itself(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, _ = tiny()
    origin = Origin(limits="loose", assignments={"block": "normal", "train.epochs": 1})
    name = record_trial(experiment, checked, RECORD, tmp_path, origin)
    assert name == "shapes-loose, trial 0, in sqlite:///outputs/studies.db"
    (trial,) = trials("shapes-loose")
    assert trial.params == {"block": "normal", "train.epochs": 1}
    attrs = trial.user_attrs
    assert (attrs["design_id"], attrs["parameters"]) == (checked.design_id, checked.footprint.parameters)
    assert attrs["test_accuracy"] == 0.4
    assert json.loads(attrs["margins"]) == []
    assert "stages:" in attrs["design"]


def test_without_held_out_images_there_is_no_value(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, _ = tiny()
    record = {**RECORD, "accuracy": {"validation": None, "test": 0.4}}
    record_trial(experiment, checked, record, tmp_path, Origin())
    (trial,) = trials("shapes-none")
    assert trial.values is None
    assert (trial.user_attrs["state_reason"], trial.user_attrs["cause"]) == ("pruned", NO_VALUE)


def test_a_failure_is_recorded_with_its_traceback(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, _ = tiny()
    try:
        raise RuntimeError("no connection to postgresql://me:geheim@host/x")
    except RuntimeError as error:
        record_failure(experiment, checked, RECORD, tmp_path, Origin(), error)
    (trial,) = trials("shapes-none")
    assert (trial.state.name, trial.user_attrs["state_reason"]) == ("FAIL", "failed")
    assert trial.user_attrs["traceback"].startswith("Traceback")
    assert "geheim" not in trial.user_attrs["traceback"]


def test_other_data_of_the_same_name_is_another_study(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, _ = tiny()
    first = record_trial(experiment, checked, RECORD, tmp_path, Origin())
    second = record_trial(experiment, checked, {**RECORD, "data_fingerprint": "e" * 16}, tmp_path, Origin())
    assert first.partition(",")[0] != second.partition(",")[0]


def test_limits_are_written_as_they_were_set() -> None:
    raw = {"parameters": {"below": 5.0}, "contains": ["dilated"], "downsampling": {"layers": 3, "by": ["strided"]}}
    assert limits_record(decode_limits(raw)) == raw
    assert limits_record(Limits()) == {}


def test_what_is_wrong_with_the_study_is_told_before_a_training(tiny: Callable[..., Any]) -> None:
    experiment, _, _ = tiny("study.name=mine")
    prepare_study(experiment, RECORD, Origin())
    assert trials("mine") == []
    with pytest.raises(SpecError, match=r"study.name: the study 'mine' has other images"):
        prepare_study(experiment, {**RECORD, "data_fingerprint": "0" * 16}, Origin())
    experiment, _, _ = tiny("study.storage=sqlite:///taken/studies.db")
    Path("taken").write_text("a file")
    with pytest.raises(StorageError, match="the study database cannot be opened"):
        prepare_study(experiment, RECORD, Origin())
