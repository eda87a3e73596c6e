"""Progress of a training: bars on a terminal, one line per epoch elsewhere, or nothing.

Imports the standard library, and rich only when bars are made.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

from archsearch.formatting import duration, number, percent, printable
from archsearch.training.result import EpochRecord

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress


class Progress(Protocol):
    """Receives the progress of a training; no method blocks."""

    def begin(self, *, epochs: int, steps: int, epoch: int, step: int) -> None:
        """Start showing a run of `epochs` epochs of `steps` steps; `epoch` epochs and `step` steps are done."""

    def advance(self) -> None:
        """Count one step."""

    def end_epoch(self, record: EpochRecord, best: EpochRecord | None) -> None:
        """Show a finished epoch, and the epoch with the best validation accuracy so far."""

    def note(self, text: str) -> None:
        """Show one sentence."""

    def close(self) -> None:
        """Stop showing; safe to call twice or before `begin`."""


def make_progress(stream: TextIO | None = None) -> Progress:
    """Return bars if `stream` (default: stderr) is a terminal, and lines otherwise."""
    target: TextIO = sys.stderr if stream is None else stream
    return Bars(target) if target.isatty() else Lines(target)


class Silent:
    """Shows nothing."""

    def begin(self, *, epochs: int, steps: int, epoch: int, step: int) -> None: ...
    def advance(self) -> None: ...
    def end_epoch(self, record: EpochRecord, best: EpochRecord | None) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


class Lines:
    """A plain line per epoch, for logs."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._epochs, self._first, self._start = 0, 0, 0.0

    def begin(self, *, epochs: int, steps: int, epoch: int, step: int) -> None:
        self._epochs, self._first, self._start = epochs, epoch, self._clock()

    def advance(self) -> None: ...

    def end_epoch(self, record: EpochRecord, best: EpochRecord | None) -> None:
        share = (record.epoch - self._first) / max(1, self._epochs - self._first)
        left = (self._clock() - self._start) * (1 / share - 1)
        width = len(str(self._epochs))
        parts = [
            f"epoch {record.epoch:>{width}}/{self._epochs}",
            f"loss {record.train_loss:.4f}",
            f"train {percent(record.train_accuracy)}",
            *_validation(record, best),
            f"{number(round(record.images_per_second))} images/s",
            f"{duration(left)} left",
        ]
        self.note("  ".join(parts))

    def note(self, text: str) -> None:
        print(printable(text), file=self._stream, flush=True)

    def close(self) -> None: ...


class Bars:
    """A bar for the run and one for the epoch, drawn by rich."""

    def __init__(self, stream: TextIO, console: Console | None = None) -> None:
        self._stream, self._console = stream, console
        self._bars: RichProgress | None = None
        self._steps = 0

    def begin(self, *, epochs: int, steps: int, epoch: int, step: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.close()
        self._steps = steps
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[status]}"),
            console=self._console or Console(file=self._stream),
            refresh_per_second=4,
            speed_estimate_period=120,
        )
        done = epoch * steps + step
        self._run = self._bars.add_task("run  ", total=epochs * steps, completed=done, status="")
        self._epoch = self._bars.add_task(f"epoch {epoch + 1}/{epochs}", total=steps, completed=step, status="")
        self._epochs = epochs
        self._bars.start()

    def advance(self) -> None:
        if self._bars is not None:
            self._bars.advance(self._run)
            self._bars.advance(self._epoch)

    def end_epoch(self, record: EpochRecord, best: EpochRecord | None) -> None:
        if self._bars is None:
            return
        status = [*_validation(record, best), f"{number(round(record.images_per_second))} images/s"]
        self._bars.update(self._run, status="  ".join(status))
        if record.epoch < self._epochs:
            self._bars.reset(
                self._epoch,
                description=f"epoch {record.epoch + 1}/{self._epochs}",
                status=f"loss {record.train_loss:.4f}  train {percent(record.train_accuracy)}",
            )

    def note(self, text: str) -> None:
        if self._bars is None:
            print(printable(text), file=self._stream, flush=True)
        else:
            self._bars.console.print(printable(text), markup=False, highlight=False)

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _validation(record: EpochRecord, best: EpochRecord | None) -> list[str]:
    if record.validation_accuracy is None:
        return []
    text = f"validation {percent(record.validation_accuracy)}"
    if best is not None and best.validation_accuracy is not None:
        text += f" (best {percent(best.validation_accuracy)} at {best.epoch})"
    return [text]
