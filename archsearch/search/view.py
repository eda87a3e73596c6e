"""The one progress view of a search: a line for every trial that ends, how all of them stand, and who trains what."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from archsearch.search.engine import Event
from archsearch.search.refusals import Refusals
from archsearch.search.screen import Screen, Standing, make_screen


class View:
    """Turns events into lines; with several workers the refusals are the sum of theirs."""

    def __init__(
        self,
        total: int,
        objectives: tuple[str, ...],
        directions: tuple[str, ...],
        *,
        done: int = 0,
        epochs: int | None = None,
        out: TextIO | None = None,
        screen: Screen | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with `done` of `total` trials; `epochs` are those of a whole training, where all have the same.

        Writes to `screen`, or as suits `out` (stderr unless given).
        """
        self._total, self._objectives, self._maximise = total, objectives, directions[0] == "maximize"
        self._epochs = epochs
        self._screen = make_screen(out) if screen is None else screen
        self._clock, self._start = clock, clock()
        self._before, self._done, self._pruned, self._failed = done, done, 0, 0
        self._refused = Refusals()
        self._best: tuple[float, int] | None = None
        self._notes: set[str] = set()
        self._training: dict[int, str] = {}

    def __call__(self, event: Event) -> None:
        """Show the event, where it is one to show."""
        match event.kind:
            case "claimed":
                self._training[event.worker] = f"trial {event.number}"
            case "epoch":
                of_all = "" if self._epochs is None else f"/{self._epochs}"
                said = f"trial {event.number}, epoch {event.epoch}{of_all}, accuracy {event.accuracy or 0.0:.4f}"
                self._training[event.worker] = said
            case "note":
                if event.text not in self._notes:
                    self._notes.add(event.text)
                    self._screen.say(event.text)
            case "count":
                self._refused = self._refused.add(event.refusals or Refusals())
            case "told":
                self._training.pop(event.worker, None)
                self._told(event)
        training = tuple(f"worker {worker}: {said}" for worker, said in sorted(self._training.items()))
        self._screen.show(Standing(done=self._done, total=self._total, text=self.standing(), training=training))

    def close(self) -> None:
        """Stop showing; harmless when called twice."""
        self._screen.close()

    def _told(self, event: Event) -> None:
        told = event.told
        assert told is not None, "an event of kind 'told' has it"
        if told.end == "lost":
            self._screen.say(f"trial {told.number}: another worker has taken it over")
            return
        if told.end == "left":
            self._screen.say(f"trial {told.number}: left to another worker")
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
        cause = f" ({told.cause})" if told.cause else ""
        self._screen.say(f"trial {told.number}: {said or told.end}{cause}  [{self.standing()}]")

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


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 40 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
