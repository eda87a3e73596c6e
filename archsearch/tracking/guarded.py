"""A tracker that never ends a run: what it raises becomes one sentence, and the run goes on without it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from archsearch.errors import SpecError
from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.choose import open_tracker
from archsearch.tracking.tracker import End, Tracked, Tracker

Result = TypeVar("Result")
_SECRET = re.compile(r"(://)[^\s/@]+@")
_LONGEST = 300  # letters of what a tracker raises


class GuardedTracker:
    """The tracker that `settings` choose, or none; `notices` says what went wrong with it."""

    def __init__(
        self,
        settings: TrackingSettings,
        tracked: Tracked,
        open_it: Callable[[TrackingSettings, Tracked], Tracker | None] = open_tracker,
    ) -> None:
        """Open the tracker; raises `SpecError` where it is not installed, and nothing else."""
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
            said = _SECRET.sub(r"\1***@", " ".join(str(error).split()))[:_LONGEST]
            self.notices.append(
                f"tracking={self._name} broke, the run goes on without it ({type(error).__name__}: {said})"
            )
            self._tracker = None
            return None
