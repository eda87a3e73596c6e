"""The settings of a search, and the message for what they may not hold."""

from __future__ import annotations

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
