"""Where metrics go, and the YAML twins of it."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from archsearch.config_files import config_folder, read_yaml
from archsearch.decode import decode
from archsearch.errors import SpecError
from archsearch.settings.tracking import TrackerName, TrackingSettings


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


def test_every_tracker_has_its_yaml_with_the_defaults() -> None:
    for name in get_args(TrackerName):
        raw = read_yaml(config_folder() / "tracking" / f"{name}.yaml")
        assert decode(TrackingSettings, raw, "tracking") == TrackingSettings(name=name)
