"""The progress view of a search: a line for every trial that ends, the overall status, and what each worker trains."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TextIO, assert_never

from archsearch.formatting import duration, epochs_text, number, printable, value_text
from archsearch.search.infeasible import InfeasibleCounts
from archsearch.search.storage.read import Best, best_of
from archsearch.search.trial_runner import TrialEnd

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to show: `claimed`, `epoch` and `ended` of a trial, `counts` of proposals, or a `note`.

    `epoch` and `accuracy` are the latest of a trial in training. `rung` is the number of epochs of a claimed trial if
    it is less than that of a full training. `worker` is the worker's index on this machine.
    """

    kind: Literal["claimed", "epoch", "ended", "counts", "note"]
    number: int | None = None
    worker: int = 0
    epoch: int | None = None
    accuracy: float | None = None
    rung: int | None = None
    end: TrialEnd | None = None
    counts: InfeasibleCounts | None = None
    text: str = ""


Listener = Callable[[Event], None]


class ProgressView:
    """Turns events into lines; the counts of proposals of several workers are added up."""

    def __init__(
        self,
        total: int | None,
        objectives: tuple[str, ...],
        directions: tuple[str, ...],
        *,
        done: int = 0,
        best: Best | None = None,
        epochs: int | None = None,
        until: float | None = None,
        out: TextIO | None = None,
        display: Display | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with `done` of `total` trials (None: as many as the time allows), `best` being the best of them.

        `epochs` is the number of epochs of a full training, if it is the same for all designs. The search ends at
        `until` of the `clock`. Writes to `display`, or to a display that suits `out` (stderr by default).
        """
        self._total, self._objectives, self._maximize = total, objectives, directions[0] == "maximize"
        self._epochs, self._until = epochs, until
        self._display = make_display(out) if display is None else display
        self._clock, self._start = clock, clock()
        self._before, self._done, self._pruned, self._failed = done, done, 0, 0
        self._counts = InfeasibleCounts()
        self._best = best
        self._notes: set[str] = set()
        self._training: dict[int, str] = {}
        self._rungs: dict[int, int | None] = {}  # of the trial that each worker is training

    def __call__(self, event: Event) -> None:
        """Process the event, and update the display."""
        match event.kind:
            case "claimed":
                self._training[event.worker] = f"trial {event.number}"
                self._rungs[event.worker] = event.rung
            case "epoch":
                epochs = self._rungs.get(event.worker) or self._epochs
                of_total = "" if epochs is None else f"/{epochs}"
                label = f"trial {event.number}, epoch {event.epoch}{of_total}, {_accuracy(event)}"
                self._training[event.worker] = label
            case "note":
                if event.text not in self._notes:
                    self._notes.add(event.text)
                    self._display.print(event.text)
            case "counts":
                self._counts = self._counts.add(event.counts or InfeasibleCounts())
            case "ended":
                assert event.end is not None, "an event of kind 'ended' has it"
                self._training.pop(event.worker, None)
                self._show_end(event.end)
            case _:
                assert_never(event.kind)
        training = tuple(f"worker {worker}: {label}" for worker, label in sorted(self._training.items()))
        self._display.show(Status(share=self._share(), text=self.status(), training=training))

    def close(self) -> None:
        """Stop showing; safe to call twice."""
        self._display.close()

    def _show_end(self, end: TrialEnd) -> None:
        if end.state == "lost":
            self._display.print(f"trial {end.number}: another worker has taken it over")
            return
        if end.state in ("released", "waiting"):
            where = "for another worker" if end.state == "released" else f"into the queue ({end.cause})"
            self._display.print(f"trial {end.number}: put back {where}")
            return
        self._failed += end.state == "failed"
        self._pruned += end.state in ("pruned", "diverged")
        self._done += end.state != "failed"
        if end.values is not None and len(self._objectives) == 1:
            self._best = self._better(Best(number=end.number, values=end.values, front=1, rung=end.rung))
        values = ", ".join(
            f"{name} {value_text(name, value)}" for name, value in zip(self._objectives, end.values or (), strict=False)
        )
        cause = f" ({end.cause})" if end.cause else ""
        self._display.print(f"trial {end.number}: {values or end.state}{_rung(end.rung)}{cause}  [{self.status()}]")

    def _better(self, other: Best) -> Best:
        """Return the better of the best so far and `other`; a higher rung is better, then a better value."""
        if self._best is None:
            return other
        signs = {True: "maximize", False: "minimize"}[self._maximize]
        both = {one.number: one for one in (self._best, other)}
        rungs = {number: one.rung for number, one in both.items() if one.rung is not None}
        found = best_of({number: one.values for number, one in both.items()}, (signs,), rungs)
        assert found is not None, "of two"
        return found

    def status(self) -> str:
        """Return the status in one line: trials done, pruned, failed and infeasible, the best value, the time left."""
        of_total = "" if self._total is None else f"/{number(self._total)}"
        parts = [f"{number(self._done)}{of_total} done"]
        parts += [
            f"{number(count)} {name}" for count, name in ((self._pruned, "pruned"), (self._failed, "failed")) if count
        ]
        parts += [f"{number(self._counts.infeasible)} infeasible"] if self._counts.infeasible else []
        parts += [self._best_text(self._best)] if self._best else []
        if (left := self._seconds_left()) is not None:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)

    def _seconds_left(self) -> float | None:
        """Return the time until the trials are done or the budget ends, whichever is first; None if it is unknown."""
        now, gained, found = self._clock(), self._done - self._before, list[float]()
        if self._total is not None and gained and self._total > self._done:
            found.append((now - self._start) / gained * (self._total - self._done))
        if self._until is not None:
            found.append(max(self._until - now, 0.0))
        return min(found, default=None)

    def _share(self) -> float:
        """Return the share of the search that is done: of its trials, or of its time if it has no number of trials."""
        if self._total is not None:
            return self._done / max(self._total, 1)
        assert self._until is not None, "a search without a number of trials has a budget"
        return (self._clock() - self._start) / max(self._until - self._start, 1e-9)

    def _best_text(self, best: Best) -> str:
        value = value_text(self._objectives[0], best.values[0])
        return f"best {value} by trial {best.number}{_rung(best.rung)}"


def _rung(rung: float | None) -> str:
    return "" if rung is None else f" after {epochs_text(rung)}"


def _accuracy(event: Event) -> str:
    return f"accuracy {value_text('accuracy', event.accuracy or 0.0)}"


BAR = 32  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The status of a search: the share that is done, the status as text, and a line for every worker that trains."""

    share: float
    text: str
    training: tuple[str, ...] = ()


class Display(Protocol):
    """Where a progress view appears."""

    def print(self, text: str) -> None:
        """Print a line that stays."""

    def show(self, status: Status) -> None:
        """Replace the status that is shown."""

    def close(self) -> None:
        """Remove the status; safe to call twice."""


def make_display(out: TextIO | None = None) -> Display:
    """Return a live display if `out` (stderr by default) is a terminal, otherwise a plain one."""
    target: TextIO = sys.stderr if out is None else out
    if not target.isatty():
        return PlainDisplay(target)
    from rich.console import Console

    console = Console(file=target)
    return PlainDisplay(target) if console.is_dumb_terminal else LiveDisplay(console)


class PlainDisplay:
    """Prints lines only, for logs; each trial's line ends with the status."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def print(self, text: str) -> None:
        print(printable(text), file=self._out, flush=True)

    def show(self, status: Status) -> None: ...
    def close(self) -> None: ...


class LiveDisplay:
    """A live region of rich at the bottom of a terminal; permanent lines appear above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def print(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def show(self, status: Status) -> None:
        from rich.live import Live

        if self._live is None:
            # No refresh thread: an update at every event is often enough.
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(_rendered(status), refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _rendered(status: Status) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 1))
    head.add_row(ProgressBar(total=1.0, completed=min(status.share, 1.0), width=BAR), Text(status.text))
    return Group(head, *(Text(f"  {line}", overflow="ellipsis", no_wrap=True) for line in status.training))
