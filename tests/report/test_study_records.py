"""Studies as plain values: rows, trials, rankings; nothing that JSON does not know."""

from __future__ import annotations

import json
import math

import pytest
from trial_fakes import bare, empty, leave_files, mixed, odd, study, trained

from archsearch.errors import SpecError
from archsearch.report.study_records import (
    finding_record,
    overview_record,
    ranking,
    strict,
    study_record,
    trial_record,
    why_record,
    worth,
)
from archsearch.search.explain import explain
from archsearch.search.storage.doctor import Finding
from archsearch.search.storage.read import StudyRead, overview_of

STUDIES = [mixed(), odd(), empty()]


def test_an_overview() -> None:
    found = overview_record(overview_of(mixed()))
    assert found["best"] == {"trial": 1, "values": {"accuracy": 0.75}}
    assert (found["trials"], found["states"]["complete"], found["limits"]) == (5, 2, "advanced_convolution")
    assert found["last_activity"] == "2026-03-01T12:01:01+00:00"
    assert overview_record(overview_of(odd()))["best"]["front"] == 1


def test_the_leaderboard_has_what_is_promised() -> None:
    one = mixed()
    [row] = study_record(one, ranking(one)[:1])["trials"]
    assert row["values"] == {"accuracy": 0.75}
    assert (row["trial"], row["seconds"], row["run_dir"]) == (1, 61.0, "outputs/runs/0001")
    assert row["blocks"]["c1"] == "inverted"
    assert row["parameters"] > 0
    assert row["macs"] > 0
    assert row["receptive_field"] > 44


def test_a_trial_has_everything() -> None:
    one = mixed()
    leave_files(one.trials[0])
    found = trial_record(one, one.trials[0])
    assert [margin["limit"] for margin in found["margins"]][:2] == ["receptive_field", "parameters"]
    assert found["history"] == {"1": 0.25, "2": 0.5}
    expected = "data=shapes constraints=advanced_convolution arch=c1c2c3c4 block=dilated seed=0"
    assert found["command"] == f"python -m archsearch.run {expected}"
    assert found["files"]["model.safetensors"] == 8
    assert found["log"][-1].startswith("epoch 8")
    failed = trial_record(one, one.trials[3])
    assert failed["files"] is None
    assert failed["traceback"].startswith("Traceback")


@pytest.mark.parametrize("one", STUDIES)
def test_all_of_it_is_json(one: StudyRead) -> None:
    records = [
        overview_record(overview_of(one)),
        study_record(one, one.trials),
        *(trial_record(one, trial) for trial in one.trials),
        why_record(one, explain(one), {"x": 0.5}),
        finding_record(Finding(kind="log", what="a", fix="b")),
    ]
    assert json.loads(json.dumps(strict(records), allow_nan=False))


def test_strict_values() -> None:
    assert strict({1: (math.nan, math.inf, {"a"}), "b": True, "c": object}) == {
        "1": [None, None, ["a"]],
        "b": True,
        "c": str(object),
    }


def numbers(one: StudyRead, **options: object) -> list[int]:
    return [trial.number for trial in ranking(one, **options)]  # type: ignore[arg-type]


def test_rankings() -> None:
    one = study(
        trained(0, 0.5, parameters=30),
        trained(1, 0.9, parameters=10),
        trained(2, 0.7, parameters=None),
        bare(3, "failed"),
    )
    assert numbers(one) == [1, 2, 0]
    assert numbers(one, reverse=True) == [0, 2, 1]
    assert numbers(one, by="parameters") == [1, 0, 2]
    assert numbers(one, by="parameters", reverse=True) == [0, 1, 2]
    assert numbers(one, by="accuracy") == [1, 2, 0]
    assert numbers(one, by="trial") == [0, 1, 2]
    assert numbers(one, by="seed") == [0, 1, 2]
    assert numbers(one, states=("failed", "complete")) == [1, 2, 0, 3]
    assert numbers(one, states=("pruned",), by="parameters") == []
    with pytest.raises(SpecError, match=r"--by: no trial has a number 'parametres'. Did you mean 'parameters'\?"):
        ranking(one, by="parametres")


def test_of_several_objectives_what_is_no_number_is_last() -> None:
    assert numbers(odd()) == [1, 0]
    assert numbers(odd(), by="a") == [1, 0]


def test_worth() -> None:
    one = odd()
    assert worth(one, one.trials[0], "a") is None
    assert worth(one, one.trials[0], "b") == 1.0
    assert worth(one, one.trials[0], "seconds") is None
    assert worth(one, one.trials[1], "x") is None
