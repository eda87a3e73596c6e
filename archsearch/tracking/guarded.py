"""Open the selected tracker and keep its errors from ending the run; no other tracker's library is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from archsearch import plugins
from archsearch.errors import SpecError
from archsearch.masking import mask
from archsearch.settings.tracking import NAMES, TrackingSettings
from archsearch.tracking.base import End, OpenTracker, Tracked, Tracker, not_installed

Result = TypeVar("Result")
_LONGEST = 300  # characters of an error message


def open_tracker(settings: TrackingSettings, tracked: Tracked) -> Tracker | None:
    """Return the selected tracker, opened for the run `tracked`, or None if none is selected.

    Raises `SpecError` if it is not installed, and whatever its library raises.
    """
    return None if settings.name == "none" else _opener(settings.name)(settings, tracked)


def require_tracker(settings: TrackingSettings) -> None:
    """Raise `SpecError` if the selected tracker is not installed; a built-in one's library is located, not imported."""
    if settings.name not in NAMES:
        plugins.load(plugins.TRACKERS, settings.name, "tracking.name")
    elif settings.name != "none" and importlib.util.find_spec(settings.name) is None:
        raise not_installed(settings.name)


def _opener(name: str) -> OpenTracker:
    match name:
        case "tensorboard":
            from archsearch.tracking.tensorboard import TensorBoardTracker

            return TensorBoardTracker
        case "mlflow":
            from archsearch.tracking.mlflow import MlflowTracker

            return MlflowTracker
        case "wandb":
            from archsearch.tracking.wandb import WandbTracker

            return WandbTracker
        case _:
            return plugins.load(plugins.TRACKERS, name, "tracking.name")


class GuardedTracker:
    """The tracker that `settings` select, or none; if it fails, a notice is added and the run continues without it."""

    def __init__(
        self, settings: TrackingSettings, tracked: Tracked, open_it: Callable[..., Tracker | None] = open_tracker
    ):
        """Open the tracker; raises `SpecError` if it is not installed, and nothing else."""
        self._name, self.notices = settings.name, list[str]()
        self._tracker: Tracker | None = None
        self._tracker = self._guarded(lambda: open_it(settings, tracked))

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        if (tracker := self._tracker) is not None:
            self._guarded(lambda: tracker.epoch(number, values))

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        if (tracker := self._tracker) is not None:
            self._guarded(lambda: tracker.result(values, files))

    def close(self, end: End) -> None:
        if (tracker := self._tracker) is not None:
            self._guarded(lambda: tracker.close(end))
            self._tracker = None

    def _guarded(self, act: Callable[[], Result]) -> Result | None:
        try:
            return act()
        except SpecError:
            raise
        except Exception as error:  # noqa: BLE001  (a library's and a server's: anything may come)
            text = mask(" ".join(str(error).split()))[:_LONGEST]
            self.notices.append(
                f"tracking={self._name} failed, the run continues without it ({type(error).__name__}: {text})"
            )
            self._tracker = None
            return None
