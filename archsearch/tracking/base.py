"""The interface of a tracker: it takes plain values and imports no training module."""

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
"""How a run ended; a stopped run may be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """The tracked run: its `name`, its run directory (which identifies it), and its `settings` by dotted key."""

    name: str
    run_dir: Path
    settings: Mapping[str, Scalar] = field(default_factory=dict)


class Tracker(Protocol):
    """A tracker of one run. Any method may raise: the run continues without the tracker."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Record the metrics of epoch `number` (the first is 1); a resumed run may record an epoch twice."""

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        """Record the final metrics and the files to keep."""

    def close(self, end: End) -> None:
        """Write pending data and close the tracker."""


class OpenTracker(Protocol):
    """A tracker class or factory function; entry points of the group `archsearch.trackers` refer to one."""

    def __call__(self, settings: TrackingSettings, tracked: Tracked, /) -> Tracker:
        """Return the tracker, opened for the run `tracked`."""
        ...


def library(name: str, *, tracker: str) -> Any:
    """Import and return the module `name`; raises `SpecError` if the library of `tracker` is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise not_installed(tracker) from None


def not_installed(tracker: str) -> SpecError:
    """Return the error that the library of `tracker` is not installed."""
    fix = "Install it: pip install 'archsearch[tracking]', or leave tracking out."
    return SpecError(f"tracking={tracker}", f"needs the package {tracker}, which is not installed", fix)
