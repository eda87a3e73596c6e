"""Weights & Biases: against a fake of it, and offline for real where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.base import Tracked
from archsearch.tracking.wandb import WandbTracker


class FakeRun:
    """Remembers its calls."""

    def __init__(self, **given: Any) -> None:
        self.given, self.calls, self.summary = given, list[Any](), dict[str, float]()

    def log(self, values: dict[str, float], *, step: int) -> None:
        self.calls.append((step, values))

    def save(self, file: str, *, base_path: str, policy: str) -> None:
        self.calls.append(Path(file).relative_to(base_path).name)

    def finish(self, *, exit_code: int) -> None:
        self.calls.append(exit_code)


def test_a_folder_is_one_run_and_nothing_is_sent_unasked(
    tracked: Tracked, tmp_path: Path, fake_library: Callable[[dict[str, Any]], None]
) -> None:
    runs: list[FakeRun] = []

    def init(**given: Any) -> FakeRun:
        runs.append(FakeRun(**given))
        return runs[-1]

    fake_library({"wandb": SimpleNamespace(init=init, Settings=lambda **given: given)})
    settings = TrackingSettings(name="wandb", folder=str(tmp_path / "t"))
    for end in ("stopped", "finished"):
        tracker = WandbTracker(settings, tracked)
        tracker.epoch(1, {"loss": 2.0})
        tracker.result({"accuracy": 0.5}, [tmp_path / "curves.png"])
        tracker.close(end)
    one, two = runs
    assert one.given == two.given
    assert (one.given["mode"], one.given["name"], one.given["resume"]) == ("offline", "runs_a", "allow")
    assert len(one.given["id"]) == 16
    assert one.calls == [(1, {"loss": 2.0}), "curves.png", 1]
    assert two.calls[-1] == 0
    assert two.summary == {"accuracy": 0.5}
    assert (tmp_path / "t").is_dir()


@pytest.mark.filterwarnings("ignore")  # wandb's own
def test_the_real_one_takes_it_offline(tracked: Tracked, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra `tracking` is not installed")
    (tmp_path / "design.yaml").write_text("stages: {}")
    tracker = WandbTracker(TrackingSettings(name="wandb", folder=str(tmp_path / "t")), tracked)
    tracker.epoch(1, {"loss": 2.0})
    tracker.result({"accuracy": 0.5}, [tmp_path / "design.yaml"])
    tracker.close("finished")
    (folder,) = (tmp_path / "t" / "wandb").glob("offline-run-*")
    assert list(folder.glob("run-*.wandb"))
    assert (folder / "files" / "design.yaml").read_text() == "stages: {}"
