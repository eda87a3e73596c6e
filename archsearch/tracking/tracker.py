"""What a tracker is. Knows no training: what is tracked comes as plain values."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from archsearch.errors import SpecError

Scalar = str | int | float | bool | None
End = Literal["finished", "failed", "stopped"]
"""How a run ended; a stopped one may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """The run that is followed: its `name`, its folder (which is its identity), and what was `set`, by dotted key."""

    name: str
    run_dir: Path
    set: Mapping[str, Scalar] = field(default_factory=dict)


class Tracker(Protocol):
    """What follows one run. Any method may raise: whoever calls it goes on without the tracker."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Take the metrics of epoch `number`, 1 for the first; a run that goes on may tell one twice."""

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        """Take the final metrics, and files worth keeping."""

    def close(self, end: End) -> None:
        """Write what is left and let go."""


def library(name: str, *, tracker: str) -> Any:
    """Return the module `name`, imported now; raises `SpecError` where `tracker` is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise not_installed(tracker) from None


def not_installed(tracker: str) -> SpecError:
    """Return the error that says that the library of `tracker` is missing."""
    fix = "Install it: pip install 'archsearch[tracking]', or leave tracking out."
    return SpecError(f"tracking={tracker}", f"needs the package {tracker}, which is not installed", fix)
