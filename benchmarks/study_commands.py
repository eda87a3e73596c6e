"""Time of the commands that read a study, as whole processes, on a generated study of 1 000 trained designs.

    python benchmarks/study_commands.py --runs 5

Every trained trial has a curve of 40 epochs, a design and margins; there are twice as many infeasible designs.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from archsearch.library import check, load_design
from archsearch.processor import processor_name
from archsearch.runs.record import design_yaml
from archsearch.search.storage.dashboard import margin_attrs
from archsearch.search.storage.database import open_store
from archsearch.search.storage.rows import Row, constraints_of, margins_json
from archsearch.search.storage.study import open_study

EPOCHS = 40
BLOCKS = ("normal", "depthwise", "dilated", "inverted")
COMMANDS = (["ls"], ["show"], ["best"], ["trial", "17"], ["compare", "17", "23"], ["why"], ["doctor"])


def rows(trials: int, folder: str) -> list[Row]:
    """Return trials as a search would leave them."""
    rng = random.Random(0)
    checked = {block: check(load_design("c1c2c3c4", block=block)) for block in BLOCKS}
    designs = {block: design_yaml(one) for block, one in checked.items()}
    found: list[Row] = []
    for number in range(3 * trials):
        block = rng.choice(BLOCKS)
        params = {"block": block, "arch.width": rng.uniform(0.3, 2.0), "optimizer.learning_rate": rng.uniform(1e-3, 1)}
        one, infeasible = checked[block], number % 3 != 0
        margins = one.margins
        attrs = {
            "state_reason": "infeasible" if infeasible else "complete",
            "sweep": "benchmark",
            "key": f"{number:016x}",
            "design_id": one.design_id,
            "parameters": one.footprint.parameters,
            "macs": one.footprint.macs,
            "receptive_field": one.footprint.receptive_field,
            "margins": margins_json(margins),
            **margin_attrs(margins),
        }
        if infeasible:
            excess = {**constraints_of(margins), "parameters": rng.random()}
            found.append(Row(state="pruned", params=params, attrs=attrs, constraints=excess))
            continue
        top = 0.6 + 0.3 * rng.random()
        curve = {epoch: top * (1 - math.exp(-epoch / 8)) for epoch in range(1, EPOCHS + 1)}
        attrs |= {
            "design": designs[block],
            "run_dir": f"{folder}/{number:04d}",
            "seconds": rng.uniform(30, 300),
            "device": "cpu",
            "versions": {"torch": "2.15.0", "python": "3.12"},
            "worker": "host:1:2:3",
            "heartbeat": 1e9,
            "epochs": EPOCHS,
        }
        found.append(
            Row(
                state="complete",
                params=params,
                attrs=attrs,
                values=(curve[EPOCHS],),
                history=curve,
                constraints=constraints_of(margins),
            )
        )
    return found


def main() -> None:
    """Generate the study, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/studies.db"
        store = open_store(storage)
        study = open_study(store, data="none", fingerprint="benchmark", limits="advanced_convolution")
        study.write(rows(options.trials, f"{folder}/runs"))
        store.close()
        size = Path(folder, "studies.db").stat().st_size / 1e6
        print(f"{options.trials} trained, {2 * options.trials} infeasible, {size:.0f} MB; n={options.runs} each")
        print(f"{processor_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
              f"Python {platform.python_version()}")  # fmt: skip
        print("command  wall-clock s: median (min - max)      CPU s: median")
        for command in COMMANDS:
            walls: list[float] = []
            spent: list[float] = []
            for _ in range(options.runs + 1):
                before, start = os.times(), time.perf_counter()
                call = [sys.executable, "-m", "archsearch.study", *command, "--storage", storage]
                subprocess.run(call, check=True, stdout=subprocess.DEVNULL)
                after = os.times()
                walls.append(time.perf_counter() - start)
                spent.append(
                    after.children_user + after.children_system - before.children_user - before.children_system
                )
            del walls[0], spent[0]  # the first run compiles bytecode and warms the file cache
            print(
                f"{command[0]:8} {statistics.median(walls):.2f} ({min(walls):.2f} - {max(walls):.2f})"
                f"{'':20}{statistics.median(spent):.2f}"
            )


if __name__ == "__main__":
    main()
