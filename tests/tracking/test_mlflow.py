"""MLflow: against a fake of its client, and for real where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.base import Tracked
from archsearch.tracking.mlflow import MlflowTracker


class FakeClient:
    """One experiment with the runs that were made, by tag."""

    def __init__(self, tracking_uri: str) -> None:
        self.address, self.runs, self.calls = tracking_uri, dict[str, str](), list[Any]()

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="7") if self.runs else None

    def create_experiment(self, name: str, artifact_location: str | None) -> str:
        self.calls.append(("experiment", name, artifact_location))
        return "7"

    def search_runs(self, experiments: list[str], *, filter_string: str, max_results: int) -> list[Any]:
        found = [run for folder, run in self.runs.items() if f'"{folder}"' in filter_string]
        return [SimpleNamespace(info=SimpleNamespace(run_id=run)) for run in found]

    def create_run(self, experiment: str, *, run_name: str, tags: dict[str, str]) -> Any:
        run = f"run {len(self.runs)}"
        self.runs[tags["archsearch.run_dir"]] = run
        return SimpleNamespace(info=SimpleNamespace(run_id=run))

    def update_run(self, run: str, *, status: str) -> None:
        self.calls.append((run, status))

    def log_batch(self, run: str, *, params: Any = (), metrics: Any = ()) -> None:
        self.calls += [(run, *one) for one in (*params, *metrics)]

    def log_artifact(self, run: str, file: str) -> None:
        self.calls.append((run, Path(file).name))

    def set_terminated(self, run: str, status: str) -> None:
        self.calls.append((run, status))


def test_a_resumed_run_is_the_same_run(
    tracked: Tracked, tmp_path: Path, fake_library: Callable[[dict[str, Any]], None]
) -> None:
    client = FakeClient("")
    made: list[str] = []

    def make(tracking_uri: str) -> FakeClient:
        made.append(tracking_uri)
        return client

    entities = SimpleNamespace(
        Param=lambda key, value: (key, value), Metric=lambda key, value, when, step: (key, value, step)
    )
    fake_library({"mlflow": SimpleNamespace(MlflowClient=make), "mlflow.entities": entities})
    settings = TrackingSettings(name="mlflow", folder=str(tmp_path / "t"))
    first = MlflowTracker(settings, tracked)
    first.epoch(1, {"loss": 2.0})
    first.close("stopped")
    second = MlflowTracker(settings, tracked)
    second.epoch(2, {"loss": 1.0})
    second.result({"accuracy": 0.5}, [tmp_path / "curves.png"])
    second.close("finished")
    assert made == [f"sqlite:///{tmp_path}/t/mlflow.db"] * 2
    assert client.calls[0] == ("experiment", "archsearch", (tmp_path / "t" / "mlflow").as_uri())
    assert client.calls[1:4] == [("run 0", "seed", "1"), ("run 0", "train.ema", "None"), ("run 0", "design", "d")]
    assert client.calls[4:] == [
        ("run 0", "loss", 2.0, 1),
        ("run 0", "KILLED"),
        ("run 0", "RUNNING"),
        ("run 0", "loss", 1.0, 2),
        ("run 0", "accuracy", 0.5, 0),
        ("run 0", "curves.png"),
        ("run 0", "FINISHED"),
    ]


@pytest.mark.filterwarnings("ignore")  # mlflow's own
def test_the_real_one_takes_it(tracked: Tracked, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra `tracking` is not installed")
    (tmp_path / "design.yaml").write_text("stages: {}")
    settings = TrackingSettings(name="mlflow", folder=str(tmp_path / "t"))
    for number in (1, 2):
        tracker = MlflowTracker(settings, tracked)
        tracker.epoch(number, {"loss": 1.0 / number})
        tracker.result({"final/accuracy": 0.5}, [tmp_path / "design.yaml"])
        tracker.close("finished")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/t/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("archsearch").experiment_id])
    assert run.data.params["seed"] == "1"
    assert run.data.metrics["final/accuracy"] == 0.5
    assert [one.step for one in client.get_metric_history(run.info.run_id, "loss")] == [1, 2]
    assert [one.path for one in client.list_artifacts(run.info.run_id)] == ["design.yaml"]
