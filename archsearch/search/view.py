"""The one progress view of a search: a line for every trial that ends, with how all of them stand."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from archsearch.search.engine import Event
from archsearch.search.refusals import Refusals


class View:
    """Turns events into lines; with several workers the refusals are the sum of theirs."""

    def __init__(
        self,
        total: int,
        objectives: tuple[str, ...],
        directions: tuple[str, ...],
        *,
        done: int = 0,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._objectives, self._maximise = total, objectives, directions[0] == "maximize"
        self._out = sys.stderr if out is None else out
        self._clock, self._start = clock, clock()
        self._before, self._done, self._pruned, self._failed = done, done, 0, 0
        self._refused = Refusals()
        self._best: tuple[float, int] | None = None
        self._notes: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Show the event, where it is one to show."""
        if event.kind == "note" and event.text not in self._notes:
            self._notes.add(event.text)
            self._say(event.text)
        elif event.kind == "count" and event.refusals is not None:
            self._refused = self._refused.add(event.refusals)
        elif event.kind == "told" and event.told is not None:
            self._told(event)

    def _told(self, event: Event) -> None:
        told = event.told
        assert told is not None, "an event of kind 'told' has it"
        if told.end == "lost":
            self._say(f"trial {told.number}: another worker has taken it over")
            return
        self._failed += told.end == "failed"
        self._pruned += told.end in ("pruned", "diverged")
        self._done += told.end != "failed"
        if told.values is not None and len(self._objectives) == 1:
            better = self._best is None or (told.values[0] > self._best[0]) == self._maximise
            if better:
                self._best = (told.values[0], told.number)
        said = ", ".join(
            f"{name} {value:.6g}" for name, value in zip(self._objectives, told.values or (), strict=False)
        )
        self._say(
            f"trial {told.number}: {said or told.end}{f' ({told.cause})' if told.cause else ''}  [{self.standing()}]"
        )

    def standing(self) -> str:
        """Return how the search stands: done, pruned, refused, best, time left."""
        parts = [f"{self._done}/{self._total} done"]
        parts += [f"{count} {name}" for count, name in ((self._pruned, "pruned"), (self._failed, "failed")) if count]
        refused = self._refused.proposed - self._refused.feasible
        parts += [f"{refused} refused"] if refused else []
        parts += [f"best {self._best[0]:.6g} by trial {self._best[1]}"] if self._best else []
        gained = self._done - self._before
        if gained and self._total > self._done:
            left = (self._clock() - self._start) / gained * (self._total - self._done)
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 40 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
