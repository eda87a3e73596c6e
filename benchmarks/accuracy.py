"""Test accuracy and wall-clock time of the default run: python benchmarks/accuracy.py --root DIR.

Runs `python -m archsearch.run data=folder data.root=DIR seed=S` for one seed after another and prints a Markdown table.
It has the seconds from the command until the test accuracy is printed, including imports, data, compilation and
evaluation, and until the process ends, which draws its figures after it prints the accuracy. Further arguments are
overrides (`block=depthwise train.epochs=40`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

OTHERS = ("test_flip", "validation")


def main() -> int:
    """Train and print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    images = os.environ.get("ARCHSEARCH_CIFAR10")
    parser.add_argument("--root", type=Path, default=images, help="folder with train/CLASS/* and test/CLASS/*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    if options.root is None:
        print("skipped: no images; give --root DIR or set ARCHSEARCH_CIFAR10")
        return 0
    print(
        "| seed | test accuracy % | with tta=flip | validation % | s until accuracy | s in total | training images/s |"
    )
    print("|---|---|---|---|---|---|---|")
    accuracies: list[float] = []
    until_number: list[float] = []
    record: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            run_dir = Path(folder) / str(seed)
            command = [sys.executable, "-m", "archsearch.run", "data=folder", f"data.root={options.root.resolve()}"]
            places = [f"hydra.run.dir={run_dir}", f"study.storage=sqlite:///{folder}/studies.db"]
            number, whole = timed([*command, f"seed={seed}", *places, *options.overrides])
            until_number.append(number)
            record = json.loads((run_dir / "result.json").read_text())
            accuracy = record["accuracy"]
            accuracies.append(100 * accuracy["test"])
            others = ["-" if (found := accuracy[name]) is None else f"{100 * found:.2f}" for name in OTHERS]
            row = [
                str(seed),
                f"{accuracies[-1]:.2f}",
                *others,
                f"{number:.1f}",
                f"{whole:.1f}",
                f"{record['images_per_second']:.0f}",
            ]
            print(f"| {' | '.join(row)} |", flush=True)
    spread = statistics.stdev(accuracies) if len(accuracies) > 1 else float("nan")
    print(
        f"\n{record['data']}: test accuracy {statistics.mean(accuracies):.2f} +- {spread:.2f} % "
        f"(n={len(accuracies)} seeds, standard deviation), {record['parameters']} parameters, "
        f"RF {record['receptive_field']} px, {record['epochs']} epochs, accuracy after "
        f"{statistics.median(until_number):.1f} s (median), {record['device']}, {record['versions']}"
    )
    return 0


def timed(command: list[str]) -> tuple[float, float]:
    """Run the command; return the seconds until it prints the test accuracy, and until it ends."""
    begun, number = time.monotonic(), float("nan")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith("test accuracy"):
                number = time.monotonic() - begun
            print(line, end="", file=sys.stderr, flush=True)
    whole = time.monotonic() - begun
    if process.returncode:
        raise SystemExit(process.returncode)
    return number, whole


if __name__ == "__main__":
    sys.exit(main())
