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
    [("2h", 7200), ("20m", 1200), ("90s", 90), ("1h30m", 5400), ("1h1m1s", 3661), (45, 45), (0.5, 0.5), (None, None)],
)
def test_a_budget_is_a_time(budget: str | float | None, seconds: float | None) -> None:
    assert decode(StudySettings, {"budget": budget}, "study").seconds == seconds


@pytest.mark.parametrize(
    ("raw", "most"),
    [({}, 50), ({"trials": 3}, 3), ({"budget": "2h"}, math.inf), ({"budget": "2h", "trials": 3}, 3)],
)
def test_a_search_ends_at_its_trials_unless_only_its_time_is_given(raw: dict[str, Any], most: float) -> None:
    assert decode(StudySettings, raw, "study").most_trials == most
