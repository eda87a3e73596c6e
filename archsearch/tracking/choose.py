"""The tracker that the settings choose; the library of another one is not imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.tracker import Tracked, Tracker, not_installed


def open_tracker(settings: TrackingSettings, tracked: Tracked) -> Tracker | None:
    """Return the chosen tracker at work on `tracked`, or None for none.

    Raises `SpecError` where its library is not installed, and whatever the library raises.
    """
    makers: dict[str, Callable[[], Callable[[TrackingSettings, Tracked], Tracker]]] = {
        "tensorboard": _tensorboard,
        "mlflow": _mlflow,
        "wandb": _wandb,
    }
    return None if settings.name == "none" else makers[settings.name]()(settings, tracked)


def require_tracker(settings: TrackingSettings) -> None:
    """Raise `SpecError` where the chosen tracker is not installed; its library is looked for, not imported."""
    if settings.name != "none" and importlib.util.find_spec(settings.name) is None:
        raise not_installed(settings.name)


def _tensorboard() -> Callable[[TrackingSettings, Tracked], Tracker]:
    from archsearch.tracking.tensorboard import TensorBoardTracker

    return TensorBoardTracker


def _mlflow() -> Callable[[TrackingSettings, Tracked], Tracker]:
    from archsearch.tracking.mlflow import MlflowTracker

    return MlflowTracker


def _wandb() -> Callable[[TrackingSettings, Tracked], Tracker]:
    from archsearch.tracking.wandb import WandbTracker

    return WandbTracker
