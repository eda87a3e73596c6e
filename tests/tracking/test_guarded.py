"""The tracker that the settings choose, installed or not, and kept from ending a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from archsearch import plugins
from archsearch.errors import SpecError
from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.base import End, Tracked, library
from archsearch.tracking.guarded import GuardedTracker, open_tracker, require_tracker

SETTINGS = TrackingSettings(name="mlflow", address="http://me:secret@host:5000")
FAILED = "tracking=mlflow failed, the run continues without it"


class Fake:
    """Fails in the epoch `fails`."""

    def __init__(self, fails: int | None = None) -> None:
        self.calls: list[object] = []
        self._fails = fails

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        if number == self._fails:
            raise ConnectionError("no answer from http://me:secret@host:5000\nafter 1 try")
        self.calls.append((number, dict(values)))

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        self.calls.append((dict(values), list(files)))

    def close(self, end: End) -> None:
        self.calls.append(end)


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
    assert fake.calls[0] == (1, {"loss": 1.0})
    assert fake.calls[3:] == [({"accuracy": 0.5}, [Path("a.png")]), "finished"]
    assert guarded.notices == []


def test_a_tracker_that_fails_is_reported_once_and_left(tracked: Tracked) -> None:
    fake = Fake(fails=2)
    guarded = GuardedTracker(SETTINGS, tracked, lambda settings, tracked: fake)
    follow(guarded)
    assert fake.calls == [(1, {"loss": 1.0})]
    assert guarded.notices == [
        f"{FAILED} (ConnectionError: no answer from http://me:***@host:5000 after 1 try)",
    ]


def test_a_tracker_that_cannot_be_opened_is_left_but_a_missing_one_is_an_error(tracked: Tracked) -> None:
    def refuse(error: Exception) -> GuardedTracker:
        def open_it(settings: TrackingSettings, tracked: Tracked) -> None:
            raise error

        return GuardedTracker(SETTINGS, tracked, open_it)

    guarded = refuse(OSError("gone"))
    follow(guarded)
    assert len(guarded.notices) == 1
    with pytest.raises(SpecError):
        refuse(SpecError("tracking=mlflow", "needs the package mlflow"))


def test_none_is_none(tracked: Tracked) -> None:
    assert open_tracker(TrackingSettings(), tracked) is None


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_extra_is_an_error(name: str, tracked: Tracked, without: Callable[[str], None]) -> None:
    without(name)
    with pytest.raises(SpecError) as caught:
        open_tracker(TrackingSettings(name=name), tracked)
    assert str(caught.value) == (
        f"tracking={name}: needs the package {name}, which is not installed. "
        "Install it: pip install 'archsearch[tracking]', or leave tracking out."
    )


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_extra_is_an_error_before_anything_is_opened(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SpecError, match=f"tracking={name}: needs the package {name}, which is not installed"):
        require_tracker(TrackingSettings(name=name))


def test_nothing_is_required_of_none() -> None:
    require_tracker(TrackingSettings())


def test_a_library_is_imported_when_it_is_wanted() -> None:
    assert library("json", tracker="json") is json


def test_a_missing_library_is_reported_by_the_tracker_s_name() -> None:
    with pytest.raises(SpecError, match=r"tracking=mlflow: needs the package mlflow, which is not installed"):
        library("there_is_no_such_library", tracker="mlflow")


def test_a_package_adds_a_tracker(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(plugins, "names", lambda group: ("notes",))
    monkeypatch.setattr(plugins, "load", lambda group, name, where: lambda *given: opened.append(given) or Fake())
    settings = TrackingSettings(name="notes", address="http://host")
    require_tracker(settings)
    assert opened == []
    assert isinstance(open_tracker(settings, tracked), Fake)
    assert opened == [(settings, tracked)]


def test_a_package_that_cannot_be_imported_is_reported_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    point = SimpleNamespace(name="notes", value="absent_library:Notes", dist=None, load=lambda: 1 / 0)
    monkeypatch.setattr(plugins, "_entry_points", lambda group: (point,))
    with pytest.raises(SpecError, match=r"tracking\.name: .* which cannot be imported \(ZeroDivisionError"):
        require_tracker(TrackingSettings(name="notes"))
