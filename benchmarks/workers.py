"""Claim: several workers that share a device finish more trials per hour than one.

    python benchmarks/workers.py [overrides ...] --root DIR [--workers 1 2 4 8] [--seconds 60] [--rounds 1]

Runs `python -m archsearch.run -m space=cifar train.epochs=8 study.workers=W` for each W in turn, with a new database
and the same seed. Once every worker has reported its first epoch, counts the epochs that trials report to the database
within `--seconds`, each as an eighth of a trial, and then stops the search. The time until all workers have reported
an epoch, which includes their start, has its own column.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

EPOCHS = 8
STARTING, STOPPING = 300.0, 60.0  # maximum seconds for the start and the stop of the workers


@dataclass(frozen=True, slots=True)
class Measured:
    """One search: epochs reported within `seconds`, total trials ended, and seconds until all workers reported one."""

    epochs: int
    seconds: float
    ended: int
    start: float

    @property
    def trials_an_hour(self) -> float:
        """The epochs as trials of eight epochs, per hour."""
        return 3600 * self.epochs / EPOCHS / self.seconds


def main() -> int:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=os.environ.get("ARCHSEARCH_CIFAR10"), help="image folder")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    if options.root is None:
        print("skipped: no images; give --root DIR or set ARCHSEARCH_CIFAR10")
        return 0
    found: dict[int, list[Measured]] = {workers: [] for workers in options.workers}
    for _ in range(options.rounds):
        for workers in options.workers:
            one = search(options.root, workers, options.seconds, options.overrides)
            found[workers].append(one)
            print(f"{workers} workers: {one}", file=sys.stderr, flush=True)
    print(f"n={options.rounds} rounds of {options.seconds:.0f} s each\n")
    print("| workers | trials per hour | speedup over one worker | trials ended | s until all had reported an epoch |")
    print("|---|---|---|---|---|")
    one = statistics.median(each.trials_an_hour for each in found[options.workers[0]])
    for workers, rounds in found.items():
        rates = [each.trials_an_hour for each in rounds]
        rate = f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"
        start, ended = statistics.median(each.start for each in rounds), sum(each.ended for each in rounds)
        print(f"| {workers} | {rate} | {statistics.median(rates) / one:.2f} | {ended} | {start:.0f} |")
    return 0


def search(root: Path, workers: int, seconds: float, overrides: list[str]) -> Measured:
    """Search with `workers` workers, for `seconds` after all of them train."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "studies.db"
        command = [sys.executable, "-m", "archsearch.run", "-m", "space=cifar", "data=folder", f"train.epochs={EPOCHS}"]
        places = [
            f"data.root={root.resolve()}",
            f"hydra.sweep.dir={folder}/sweep",
            f"study.storage=sqlite:///{database}",
        ]
        numbers = [f"study.workers={workers}", "study.trials=100000", "study.name=workers", "study.sampler.seed=0"]
        log = Path(folder) / "log.txt"
        with log.open("w") as file:
            process = subprocess.Popen(
                [*command, *places, *numbers, *overrides], stdout=file, stderr=file, start_new_session=True
            )
        try:
            return _watched(process, database, workers, seconds)
        except RuntimeError as error:
            raise SystemExit(f"{error}\n{log.read_text()[-2000:]}") from None
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _watched(process: subprocess.Popen[bytes], database: Path, workers: int, seconds: float) -> Measured:
    """Return the measurement from the database; raises `RuntimeError` if the search ends early or does not start."""
    begun, rows = time.monotonic(), _Rows(database)
    while rows.workers() < workers:
        if process.poll() is not None or time.monotonic() - begun > STARTING:
            raise RuntimeError(f"{workers} workers did not start to train")
        time.sleep(0.2)
    started, before = time.monotonic(), rows.epochs()
    while time.monotonic() - started < seconds:
        if process.poll() is not None:
            raise RuntimeError(f"the search with {workers} workers ended early")
        time.sleep(0.2)
    epochs = rows.epochs() - before
    return Measured(epochs, time.monotonic() - started, rows.ended(), started - begun)


class _Rows:
    """The current trials in a database that another process creates and writes."""

    def __init__(self, file: Path) -> None:
        self._uri = f"file:{file}?mode=ro"

    def _number(self, query: str) -> int:
        try:
            with contextlib.closing(sqlite3.connect(self._uri, uri=True)) as database:
                return database.execute(query).fetchone()[0]
        except sqlite3.OperationalError:  # the file or its tables do not exist yet
            return 0

    def workers(self) -> int:
        """How many have reported an epoch; a trial counts as running while its worker still loads torch and images."""
        reported = "SELECT trial_id FROM trial_intermediate_values"
        whose = "SELECT count(DISTINCT value_json) FROM trial_user_attributes WHERE key = 'worker'"
        return self._number(f"{whose} AND trial_id IN ({reported})")

    def epochs(self) -> int:
        furthest = "SELECT max(step) AS epochs FROM trial_intermediate_values GROUP BY trial_id"
        return self._number(f"SELECT coalesce(sum(epochs), 0) FROM ({furthest})")

    def ended(self) -> int:
        trained = "SELECT trial_id FROM trial_intermediate_values"
        return self._number(f"SELECT count(*) FROM trials WHERE state = 'COMPLETE' AND trial_id IN ({trained})")


if __name__ == "__main__":
    sys.exit(main())
