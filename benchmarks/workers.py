"""Claim: several workers that share a device finish more trials an hour than one.

    python benchmarks/workers.py [overrides ...] --root DIR [--workers 1 2 4 8] [--trials 12] [--rounds 1]

Runs `python -m archsearch.run -m space=cifar train.epochs=8 study.workers=W study.trials=N` with a new database each
time, in turn. Trials an hour are counted from the first one's start to the last one's end, as the database has them,
which leaves out the workers' own start; the command's whole time stands beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna


def main() -> int:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=os.environ.get("ARCHSEARCH_JPEG"), help="folder of images")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--trials", type=int, nargs="+", default=[12], help="for all, or for each number of workers")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    if options.root is None:
        print("skipped: give --root DIR, or ARCHSEARCH_JPEG, for the images to train on")
        return 0
    trials = dict(zip(options.workers, options.trials * len(options.workers), strict=False))
    found: dict[int, list[tuple[float, float, int]]] = {workers: [] for workers in options.workers}
    for _ in range(options.rounds):
        for workers in options.workers:
            found[workers].append(search(options.root, workers, trials[workers], options.overrides))
    print("| workers | trials | trials an hour | to one worker | the command, s |\n|---|---|---|---|---|")
    one = statistics.median(rate for rate, _, _ in found[options.workers[0]])
    for workers, rounds in found.items():
        rates = [rate for rate, _, _ in rounds]
        told = f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"
        walls = statistics.median(wall for _, wall, _ in rounds)
        done = sum(count for _, _, count in rounds)
        print(f"| {workers} | {done} | {told} | {statistics.median(rates) / one:.2f} | {walls:.0f} |")
    return 0


def search(root: Path, workers: int, trials: int, overrides: list[str]) -> tuple[float, float, int]:
    """Return the trials an hour of one sweep, the seconds that the command took, and how many trials it finished."""
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/studies.db"
        command = [sys.executable, "-m", "archsearch.run", "-m", "space=cifar", "data=folder", "train.epochs=8"]
        places = [f"data.root={root.resolve()}", f"hydra.sweep.dir={folder}/sweep", f"study.storage={storage}"]
        numbers = [f"study.workers={workers}", f"study.trials={trials}", "study.name=workers"]
        begun = time.monotonic()
        subprocess.run([*command, *places, *numbers, *overrides], check=True, stdout=subprocess.DEVNULL)
        wall = time.monotonic() - begun
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        rows = optuna.load_study(study_name="workers", storage=storage).get_trials(deepcopy=False)
        done = [row for row in rows if row.state in (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)]
        begins = [row.datetime_start for row in done if row.datetime_start is not None]
        ends = [row.datetime_complete for row in done if row.datetime_complete is not None]
        hours = (max(ends) - min(begins)).total_seconds() / 3600
        print(f"{workers} workers: {len(done)} of {len(rows)} rows in {3600 * hours:.1f} s", flush=True)
        return len(done) / hours, wall, len(done)


if __name__ == "__main__":
    sys.exit(main())
