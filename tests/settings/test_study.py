"""The settings of a search, and the message for what they may not hold."""

from __future__ import annotations

import math
from typing import Any

import pytest

from archsearch.decode import decode
from archsearch.errors import SpecError
from archsearch.settings.study import StudySettings


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"trials": 0}, "study.trials"),
        ({"workers": 0}, "study.workers"),
        ({"budget": "soon"}, "study.budget: must be a time above 0"),
        ({"budget": ""}, "study.budget"),
        ({"budget": "2 hours"}, "study.budget"),
        ({"budget": "30m1h"}, "study.budget"),
        ({"budget": 0}, "study.budget"),
        ({"budget": -5.0}, "study.budget"),
        ({"budget": "0s"}, "study.budget"),
        ({"budget": float("inf")}, "study.budget"),
        ({"budget": True}, "study.budget"),
        ({"budget": [1]}, "study.budget"),
        ({"name": ""}, "study.name"),
        ({"name": "n" * 501}, "study.name"),
        ({"name": "a\nb"}, "study.name"),
        ({"patience": -1}, "study.patience"),
        ({"trial": 3}, "study.trial: unknown key for study"),
        ({"objectives": []}, "study.objectives"),
        ({"objectives": ["accuracy", "accuracy"]}, "study.objectives"),
        ({"objectives": ["beauty"]}, "study.objectives"),
        ({"heartbeat": 90.0}, "study.heartbeat"),
        ({"sampler": {"name": "guess"}}, "study.sampler.name"),
        ({"pruner": {"name": "median", "warmup": -1}}, "study.pruner.warmup"),
        ({"pruner": {"name": "median"}, "objectives": ["accuracy", "macs"]}, "study.pruner"),
        ({"pruner": {"name": "median"}, "objectives": ["loss"]}, "study.pruner"),
        ({"rungs": "some"}, "study.rungs"),
        ({"rungs": 4}, "study.rungs"),
        ({"rungs": []}, "study.rungs: must list epochs"),
        ({"rungs": [4, 2]}, "study.rungs: must list epochs"),
        ({"rungs": [2, 2]}, "study.rungs"),
        ({"rungs": [0, 2]}, "study.rungs"),
        ({"rungs": [1.5]}, "study.rungs"),
        ({"rungs": [2, 8], "objectives": ["accuracy", "macs"]}, "study.rungs: compares trainings by one objective"),
        ({"rungs": [2, 8], "objectives": ["macs"]}, "study.rungs"),
        ({"rungs": [2, 8], "pruner": {"name": "median"}}, "study.rungs: ends trainings early"),
        ({"rungs": [2, 8], "sampler": {"name": "tpe"}}, "study.rungs: needs a sampler that supports rungs"),
        ({"enqueue": {}}, "study.enqueue: must be a list, got a mapping"),
        ({"enqueue": [3]}, "study.enqueue[0]: must be a mapping"),
        ({"enqueue": [{"arch.stages.c1.width": [1]}]}, "study.enqueue[0].arch.stages.c1.width: must be"),
        ({"warm_start": ""}, "study.warm_start: names no study"),
        ({"warm_start": "sqlite:///outputs/studies.db#"}, "study.warm_start: names no study"),
        ({"warm_start": 3}, "study.warm_start"),
        ({"warm_start": "before", "sampler": {"name": "tpe"}}, "study.warm_start: is for the model"),
        ({"artifacts": "shared"}, "study.artifacts: expected an absolute folder"),
        ({"artifacts": "s3://bucket"}, "study.artifacts"),
    ],
)
def test_an_error_names_the_key(raw: dict[str, Any], where: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode(StudySettings, raw, "study")
    assert str(caught.value).startswith(where)


@pytest.mark.parametrize(
    ("budget", "seconds"),
    [
        ("2h", 7200),
        ("20m", 1200),
        ("20min", 1200),
        ("90s", 90),
        ("1h30m", 5400),
        ("1h1m1s", 3661),
        (45, 45),
        (0.5, 0.5),
        (None, None),
    ],
)
def test_a_budget_is_a_time(budget: str | float | None, seconds: float | None) -> None:
    assert decode(StudySettings, {"budget": budget}, "study").seconds == seconds


@pytest.mark.parametrize(
    ("raw", "most"),
    [({}, 50), ({"trials": 3}, 3), ({"budget": "2h"}, math.inf), ({"budget": "2h", "trials": 3}, 3)],
)
def test_a_search_ends_at_its_trials_unless_only_its_time_is_given(raw: dict[str, Any], most: float) -> None:
    assert decode(StudySettings, raw, "study").most_trials == most


@pytest.mark.parametrize(
    ("raw", "epochs", "rungs"),
    [
        ({}, 10, (3, 10)),
        ({}, 24, (3, 8, 24)),
        ({}, 5, (2, 5)),
        ({}, 4, ()),
        ({}, 1, ()),
        ({"rungs": None}, 24, ()),
        ({"rungs": [2, 4, 10]}, 10, (2, 4, 10)),
        ({"rungs": [2, 4]}, 10, (2, 4, 10)),
        ({"rungs": [10]}, 10, ()),
        ({"rungs": [2], "sampler": {"name": "random"}}, 10, (2, 10)),
        ({"sampler": {"name": "random"}}, 10, ()),
        ({"pruner": {"name": "median"}}, 10, ()),
        ({"objectives": ["accuracy", "macs"]}, 10, ()),
        ({"objectives": ["seconds"]}, 10, ()),
        ({"objectives": ["loss"]}, 10, (3, 10)),
    ],
)
def test_rungs_rise_to_a_whole_training(raw: dict[str, Any], epochs: int, rungs: tuple[int, ...]) -> None:
    assert decode(StudySettings, raw, "study").rungs_up_to(epochs) == rungs


def test_a_rung_is_no_longer_than_a_whole_training() -> None:
    with pytest.raises(SpecError, match=r"study\.rungs: has 12 epochs, and a whole training 10"):
        decode(StudySettings, {"rungs": [4, 12]}, "study").rungs_up_to(10)
