"""The interface of a tracker, in plain values: no module of the training is imported."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from archsearch.errors import SpecError
from archsearch.settings.tracking import TrackingSettings

Scalar = str | int | float | bool | None
End = Literal["finished", "failed", "stopped"]
"""How a run ended; a stopped one may be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """The run that is tracked: its `name`, its folder (its identity), and its `settings` by dotted key."""

    name: str
    run_dir: Path
    settings: Mapping[str, Scalar] = field(default_factory=dict)


class Tracker(Protocol):
    """A tracker of one run. Any method may raise: the run continues without the tracker."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Record the metrics of epoch `number`, 1 for the first; a resumed run may give one twice."""

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        """Record the final metrics, and files worth keeping."""

    def close(self, end: End) -> None:
        """Write the rest and close."""


class OpenTracker(Protocol):
    """A tracker's class or function; an entry point of the group `archsearch.trackers` refers to one."""

    def __call__(self, settings: TrackingSettings, tracked: Tracked, /) -> Tracker:
        """Return the tracker, opened for the run `tracked`."""
        ...


def library(name: str, *, tracker: str) -> Any:
    """Return the module `name`, imported now; raises `SpecError` if the library of `tracker` is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise not_installed(tracker) from None


def not_installed(tracker: str) -> SpecError:
    """Return the error for a missing library of `tracker`."""
    fix = "Install it: pip install 'archsearch[tracking]', or leave tracking out."
    return SpecError(f"tracking={tracker}", f"needs the package {tracker}, which is not installed", fix)
