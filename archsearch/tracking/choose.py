"""The tracker that the settings choose; the library of another one is not imported."""

from __future__ import annotations

from collections.abc import Callable

from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.tracker import Tracked, Tracker


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


def _tensorboard() -> Callable[[TrackingSettings, Tracked], Tracker]:
    from archsearch.tracking.tensorboard import TensorBoardTracker

    return TensorBoardTracker


def _mlflow() -> Callable[[TrackingSettings, Tracked], Tracker]:
    from archsearch.tracking.mlflow import MlflowTracker

    return MlflowTracker


def _wandb() -> Callable[[TrackingSettings, Tracked], Tracker]:
    from archsearch.tracking.wandb import WandbTracker

    return WandbTracker
