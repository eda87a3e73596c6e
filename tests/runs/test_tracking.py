"""A run followed by a tracker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from archsearch.errors import DivergedError, InterruptedRun, SpecError
from archsearch.runs.execute import execute
from archsearch.runs.tracking import Followed, settings_of
from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking import choose
from archsearch.tracking.guarded import GuardedTracker
from archsearch.tracking.tracker import End, Tracked

SMALL = ("arch.width=0.1", "tracking=wandb")


class Fake:
    """Remembers what it is told; breaks at the end where it is to."""

    def __init__(self, breaks: bool = False) -> None:
        self.said: list[Any] = []
        self._breaks = breaks

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        self.said.append((number, sorted(values)))

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        if self._breaks:
            raise ConnectionError("the server has gone")
        self.said.append((dict(values), [file.name for file in files]))

    def close(self, end: End) -> None:
        self.said.append(end)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Fake]:
    """Return a function that puts a fake in place of every tracker."""

    def make(**given: Any) -> Fake:
        one = Fake(**given)
        monkeypatch.setattr(choose, "_wandb", lambda: lambda settings, tracked: one)
        return one

    return make


def test_a_run_tells_its_epochs_and_its_result(
    tiny: Callable[..., Any], tmp_path: Path, fake: Callable[..., Fake]
) -> None:
    one = fake()
    experiment, checked, dataset = tiny(*SMALL)
    record = execute(experiment, checked, tmp_path / "run", dataset=dataset).record
    (number, names), (values, files), end = one.said
    assert number == 1
    assert {"train_loss", "validation_accuracy", "learning_rate"} <= set(names)
    assert values["final/test_accuracy"] == record["accuracy"]["test"]
    assert files[:3] == ["design.yaml", "design.png", "curves.png"]
    assert end == "finished"


def test_a_tracker_that_breaks_is_a_notice_of_the_result(
    tiny: Callable[..., Any], tmp_path: Path, fake: Callable[..., Fake]
) -> None:
    fake(breaks=True)
    experiment, checked, dataset = tiny(*SMALL)
    record = execute(experiment, checked, tmp_path / "run", dataset=dataset).record
    said = "tracking=wandb broke, the run goes on without it (ConnectionError: the server has gone)"
    assert record["notices"][-1] == said
    assert json.loads((tmp_path / "run" / "result.json").read_text())["notices"][-1] == said


def test_a_missing_tracker_trains_nothing(
    tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(settings: TrackingSettings, tracked: Tracked) -> None:
        raise SpecError("tracking=wandb", "needs the package wandb, which is not installed")

    monkeypatch.setattr(choose, "_wandb", lambda: missing)
    experiment, checked, dataset = tiny(*SMALL)
    with pytest.raises(SpecError, match="needs the package wandb"):
        execute(experiment, checked, tmp_path / "run", dataset=dataset)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("error", "end"), [(InterruptedRun("stopped"), "stopped"), (DivergedError("nan"), "failed"), (OSError(), "failed")]
)
def test_how_a_run_ended_is_told(error: Exception, end: End) -> None:
    one = Fake()
    tracked = Tracked(name="a", run_dir=Path("a"))
    Followed(None, GuardedTracker(TrackingSettings(), tracked, lambda settings, tracked: one)).fail(error)
    assert one.said == [end]


def test_no_password_is_among_the_settings(tiny: Callable[..., Any]) -> None:
    experiment, checked, dataset = tiny("study.storage='postgresql://me:secret@host/db'", "tracking=none")
    found = settings_of(experiment, checked, dataset)
    assert found["train.epochs"] == 1
    assert found["parameters"] == checked.footprint.parameters
    assert "secret" not in str(found)
