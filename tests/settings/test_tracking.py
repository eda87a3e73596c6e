"""Where metrics go, and the files of conf/tracking."""

from __future__ import annotations

from typing import Any

import pytest

from archsearch.config_files import config_folder, read_yaml
from archsearch.decode import decode
from archsearch.errors import SpecError
from archsearch.settings.tracking import NAMES, TrackingSettings


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"name": "excel"}, "tracking.name"),
        ({"folder": ""}, "tracking.folder"),
        ({"project": ""}, "tracking.project"),
        ({"name": "wandb", "address": "http://host"}, "tracking.address"),
        ({"name": "wandb", "mode": "off"}, "tracking.mode"),
        ({"nam": "wandb"}, "tracking.nam"),
    ],
)
def test_what_means_nothing_is_refused(raw: dict[str, Any], where: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode(TrackingSettings, raw, "tracking")
    assert caught.value.where == where


def test_a_near_miss_is_named() -> None:
    with pytest.raises(SpecError, match=r"tracking\.name: unknown value 'mlfow'\. Did you mean 'mlflow'\?"):
        TrackingSettings(name="mlfow")


def test_every_tracker_has_its_yaml_with_the_defaults() -> None:
    for name in NAMES:
        raw = read_yaml(config_folder() / "tracking" / f"{name}.yaml")
        assert decode(TrackingSettings, raw, "tracking") == TrackingSettings(name=name)
