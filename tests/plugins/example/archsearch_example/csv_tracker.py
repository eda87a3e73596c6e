"""A tracker that appends the metrics of a run to a CSV file."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.base import End, Tracked


class CsvTracker:
    """Writes FOLDER/csv/RUN.csv, a line for each metric: the epoch, the name, the value."""

    def __init__(self, settings: TrackingSettings, tracked: Tracked) -> None:
        self._file = Path(settings.folder, "csv", f"{tracked.name}.csv")
        self._file.parent.mkdir(parents=True, exist_ok=True)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Record the metrics of an epoch."""
        self._append([[number, name, value] for name, value in values.items()])

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        """Record the final metrics; `files` are pictures and the design, which a CSV file cannot hold."""
        self._append([["result", name, value] for name, value in values.items()])

    def close(self, end: End) -> None:
        """Record how the run ended."""
        self._append([["end", "state", end]])

    def _append(self, rows: Sequence[Sequence[object]]) -> None:
        with self._file.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
