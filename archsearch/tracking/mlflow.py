"""MLflow: a run of an experiment, on a server or in a database; MLflow's global state does not change."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.base import End, Tracked, library

_LONGEST = 500  # characters of a parameter value that every version accepts
_STATUS: dict[End, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
# The default is seven tries of up to two minutes each, for which a training would wait if the server is gone.
_TIMEOUTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_TAG = "archsearch.run_dir"


class MlflowTracker:
    """Logs through one client; a resumed run is found by its run directory."""

    def __init__(self, settings: TrackingSettings, tracked: Tracked) -> None:
        """Find or create the run of `tracked`; raises `SpecError` without mlflow, and whatever MLflow raises."""
        for name, value in _TIMEOUTS.items():
            os.environ.setdefault(name, value)
        mlflow = library("mlflow", tracker="mlflow")
        self._entities = library("mlflow.entities", tracker="mlflow")
        folder, address = Path(settings.folder).resolve(), settings.address
        if address is None:
            folder.mkdir(parents=True, exist_ok=True)
            address = f"sqlite:///{folder / 'mlflow.db'}"
        self._client = mlflow.MlflowClient(tracking_uri=address)
        experiment = self._client.get_experiment_by_name(settings.project)
        if experiment is not None:
            identity = experiment.experiment_id
        else:
            place = (folder / "mlflow").as_uri() if settings.address is None else None
            identity = self._client.create_experiment(settings.project, artifact_location=place)
        self._run = self._find(identity, tracked) or self._create(identity, tracked)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        self._log(values, number)

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        self._log(values, 0)
        for file in files:
            self._client.log_artifact(self._run, str(file))

    def close(self, end: End) -> None:
        self._client.set_terminated(self._run, _STATUS[end])

    def _find(self, experiment: str, tracked: Tracked) -> str | None:
        folder = str(tracked.run_dir.resolve()).replace('"', '\\"')
        runs = self._client.search_runs([experiment], filter_string=f'tags."{_TAG}" = "{folder}"', max_results=1)
        if not runs:
            return None
        self._client.update_run(runs[0].info.run_id, status="RUNNING")
        return runs[0].info.run_id

    def _create(self, experiment: str, tracked: Tracked) -> str:
        tags = {_TAG: str(tracked.run_dir.resolve())}
        run = self._client.create_run(experiment, run_name=tracked.name, tags=tags).info.run_id
        params = [self._entities.Param(key, str(value)[:_LONGEST]) for key, value in tracked.settings.items()]
        for start in range(0, len(params), 100):  # the maximum of one request
            self._client.log_batch(run, params=params[start : start + 100])
        return run

    def _log(self, values: Mapping[str, float], step: int) -> None:
        import time

        now = int(1000 * time.time())
        metrics = [self._entities.Metric(name, float(value), now, step) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)
