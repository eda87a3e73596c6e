"""Studies as plain values: rows, trials, rankings; nothing that JSON does not know."""

from __future__ import annotations

import json
import math

import pytest
from trial_fakes import bare, empty, leave_files, mixed, odd, study, trained

from archsearch.errors import SpecError
from archsearch.report.records import (
    comparison_record,
    differences,
    finding_record,
    layers_of,
    merged,
    overview_record,
    ranking,
    strict,
    study_record,
    trial_record,
    why_record,
)
from archsearch.report.series import value_of
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


def test_the_leaderboard_has_all_columns() -> None:
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
    assert numbers(one, states=("complete", "failed"), reverse=True) == [0, 2, 1, 3]
    assert numbers(one, by="parameters") == [1, 0, 2]
    assert numbers(one, by="parameters", reverse=True) == [0, 1, 2]
    assert numbers(one, by="accuracy") == [1, 2, 0]
    assert numbers(one, by="trial") == [0, 1, 2]
    assert numbers(one, by="seed") == [0, 1, 2]
    assert numbers(one, states=("failed", "complete")) == [1, 2, 0, 3]
    assert numbers(one, states=("pruned",), by="parameters") == []
    with pytest.raises(
        SpecError, match=r"--by: no trial has a numeric value 'parametres'. Did you mean 'parameters'\?"
    ):
        ranking(one, by="parametres")


def test_of_several_objectives_what_is_no_number_is_last() -> None:
    assert numbers(odd()) == [1, 0]
    assert numbers(odd(), by="a") == [1, 0]


def test_a_number_by_name() -> None:
    one = odd()
    assert value_of(one, one.trials[0], "a") is None
    assert value_of(one, one.trials[0], "b") == 1.0
    assert value_of(one, one.trials[0], "seconds") is None
    assert value_of(one, one.trials[1], "x") is None


def test_differences_come_in_pairs() -> None:
    one = mixed()
    found = comparison_record(one, one.trials[0], one.trials[1])
    assert found["figures"]["accuracy"] == [0.5, 0.75]
    assert found["assignments"] == {"block": ["dilated", "inverted"], "seed": [0, 1]}
    assert found["blocks"].keys() == {"c1", "c2", "c3"}
    assert found["same_design"] is False
    first = next(iter(found["layers"]))
    assert first.startswith(("stem", "stages.c1"))
    assert all(one != other for one, other in found["layers"].values())


def test_the_same_design_has_no_difference() -> None:
    one = study(trained(0, 0.5), trained(1, 0.6))
    found = comparison_record(one, *one.trials)
    assert (found["layers"], found["blocks"], found["same_design"]) == ({}, {}, True)


def test_trials_without_designs_are_compared_by_what_there_is() -> None:
    one = odd()
    for other in one.trials:
        found = comparison_record(one, one.trials[0], other)
        assert found["layers"] is None
        assert found["same_design"] is None


def test_layers_are_those_of_the_analysis() -> None:
    found = layers_of(trained(0, 0.5))
    assert found is not None
    assert sum(layer["parameters"] for layer in found.values()) == trained(0, 0.5).attrs["parameters"]
    assert layers_of(bare(0, design="stages: {a: {block: mine}}")) is None


def test_differences_keep_the_order() -> None:
    nan = float("nan")
    assert differences({"a": 1, "b": True, "c": nan}, {"a": 1.0, "b": 1, "c": nan, "d": None}) == {
        "b": [True, 1],
        "d": [None, None],
    }
    assert merged(["stem", "c1", "head"], ["stem", "c1", "c2", "head"]) == ["stem", "c1", "c2", "head"]
    assert merged([], ["x", "y"]) == ["x", "y"]
