"""A tracker that never ends a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from archsearch.errors import SpecError
from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.guarded import GuardedTracker
from archsearch.tracking.tracker import End, Tracked

SETTINGS = TrackingSettings(name="mlflow", address="http://me:secret@host:5000")
BROKE = "tracking=mlflow broke, the run goes on without it"


class Fake:
    """Breaks in the epoch `breaks`."""

    def __init__(self, breaks: int | None = None) -> None:
        self.said: list[object] = []
        self._breaks = breaks

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        if number == self._breaks:
            raise ConnectionError("no answer from http://me:secret@host:5000\nafter 1 try")
        self.said.append((number, dict(values)))

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        self.said.append((dict(values), list(files)))

    def close(self, end: End) -> None:
        self.said.append(end)


def follow(guarded: GuardedTracker) -> None:
    for number in (1, 2, 3):
        guarded.epoch(number, {"loss": 1.0 / number})
    guarded.result({"accuracy": 0.5}, [Path("a.png")])
    guarded.close("finished")
    guarded.close("failed")


def test_it_passes_everything_on_once(tracked: Tracked) -> None:
    fake = Fake()
    guarded = GuardedTracker(SETTINGS, tracked, lambda settings, tracked: fake)
    follow(guarded)
    assert fake.said[0] == (1, {"loss": 1.0})
    assert fake.said[3:] == [({"accuracy": 0.5}, [Path("a.png")]), "finished"]
    assert guarded.notices == []


def test_one_that_breaks_is_told_once_and_left(tracked: Tracked) -> None:
    fake = Fake(breaks=2)
    guarded = GuardedTracker(SETTINGS, tracked, lambda settings, tracked: fake)
    follow(guarded)
    assert fake.said == [(1, {"loss": 1.0})]
    assert guarded.notices == [
        f"{BROKE} (ConnectionError: no answer from http://***@host:5000 after 1 try)",
    ]


def test_one_that_cannot_be_opened_is_left_but_a_missing_one_is_told(tracked: Tracked) -> None:
    def refuse(error: Exception) -> GuardedTracker:
        def open_it(settings: TrackingSettings, tracked: Tracked) -> None:
            raise error

        return GuardedTracker(SETTINGS, tracked, open_it)

    guarded = refuse(OSError("gone"))
    follow(guarded)
    assert len(guarded.notices) == 1
    with pytest.raises(SpecError):
        refuse(SpecError("tracking=mlflow", "needs the package mlflow"))
