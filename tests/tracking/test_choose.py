"""The tracker that the settings choose."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archsearch.errors import SpecError
from archsearch.settings.tracking import TrackerName, TrackingSettings
from archsearch.tracking.choose import open_tracker
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
