"""The tracker that the settings choose."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from archsearch.errors import SpecError
from archsearch.settings.tracking import TrackerName, TrackingSettings
from archsearch.tracking.choose import open_tracker, require_tracker
from archsearch.tracking.tracker import Tracked


def test_none_is_none(tracked: Tracked) -> None:
    assert open_tracker(TrackingSettings(), tracked) is None


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_extra_is_told(name: TrackerName, tracked: Tracked, without: Callable[[str], None]) -> None:
    without(name)
    with pytest.raises(SpecError) as caught:
        open_tracker(TrackingSettings(name=name), tracked)
    assert str(caught.value) == (
        f"tracking={name}: needs the package {name}, which is not installed. "
        "Install it: pip install 'archsearch[tracking]', or leave tracking out."
    )


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_extra_is_told_before_anything_is_opened(name: TrackerName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SpecError, match=f"tracking={name}: needs the package {name}, which is not installed"):
        require_tracker(TrackingSettings(name=name))


def test_nothing_is_required_of_none() -> None:
    require_tracker(TrackingSettings())
