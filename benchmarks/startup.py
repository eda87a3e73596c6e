"""Start-up time of the commands, as whole processes, and of a run to its first training step and from its last.

    python benchmarks/startup.py --runs 5 --against OTHER_CHECKOUT
    python benchmarks/startup.py --runs 3 --against OTHER_CHECKOUT --root DIR

`--root DIR` (or ARCHSEARCH_CIFAR10), with images for `data=folder`, also measures trainings. `--against` also measures
another checkout, interleaved with this one. Bytecode and decoded images are already cached, as on a second start.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archsearch.processor import processor_name

HERE = Path(__file__).resolve().parents[1]
EXAMPLES = f"sqlite:///{HERE}/outputs/examples/studies.db"
HYDRA, SHOW = "a bare `import hydra`", "`show`"
COMMANDS = {
    HYDRA: ["-c", "import hydra"],
    "`run --help`": ["-m", "archsearch.run", "--help"],
    "`run --cfg job`": ["-m", "archsearch.run", "--cfg", "job"],
    SHOW: ["-m", "archsearch.show"],
    "`study ls`": ["-m", "archsearch.study", "ls", "--storage", EXAMPLES],
}
TRAININGS = {"`experiment=brisk`": ["experiment=brisk"], "the default": []}
BRIEF = ["data.limit_train=1280", "data.limit_test=2000", "train.epochs=1"]

# The progress output is called at every step and loads no torch: this measures the time that a user waits.
WATCHED = """
import json, os, sys, time
from pathlib import Path
from archsearch.run import main
from archsearch.training.progress import Lines

def advance(self):
    spent = os.times()
    Path(os.environ["STEPS"]).write_text(json.dumps([time.time(), spent.user + spent.system]))
    if os.environ["UNTIL"] == "first step":
        os._exit(0)

Lines.advance = advance
try:
    from archsearch.process import run_as_process
except ImportError:
    sys.exit(main())
run_as_process(main)
"""


@dataclass(slots=True)
class Taken:
    """Wall-clock and CPU seconds, one of each for every run."""

    clock: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def add(self, clock: float, processor: float) -> None:
        self.clock.append(clock)
        self.processor.append(processor)


def call(given: Sequence[str], checkout: Path, folder: Path, **more: str) -> tuple[float, float, float]:
    """Run Python with `given` on `checkout`; return the start time, the wall-clock seconds and the CPU seconds."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "PYTHONPATH": str(checkout), "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), **more}
    before, began, start = os.times(), time.time(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *given], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    clock, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(given[-3:])} failed with exit code {done.returncode}:\n{done.stderr}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return began, clock, spent


def until_first_step(given: Sequence[str], checkout: Path, folder: Path) -> tuple[float, float]:
    """Return the wall-clock and CPU seconds that a training takes until its first step is done."""
    steps = folder / "steps.json"
    began, _, _ = call(["-c", WATCHED, *given], checkout, folder, STEPS=str(steps), UNTIL="first step")
    at, spent = json.loads(steps.read_text())
    return at - began, spent


def from_last_step(given: Sequence[str], checkout: Path, folder: Path) -> tuple[float, float]:
    """Return the wall-clock and CPU seconds of a training from its last step to the end of its process."""
    steps = folder / "steps.json"
    began, clock, spent = call(["-c", WATCHED, *given], checkout, folder, STEPS=str(steps), UNTIL="end")
    at, before = json.loads(steps.read_text())
    return began + clock - at, spent - before


def main() -> None:
    """Measure in interleaved rounds and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=os.environ.get("ARCHSEARCH_CIFAR10"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    checkouts = {"this": HERE} if options.against is None else {"before": options.against.resolve(), "this": HERE}
    taken: dict[tuple[str, str], Taken] = {}

    def add(what: str, whose: str, clock: float, processor: float) -> None:
        taken.setdefault((what, whose), Taken()).add(clock, processor)
        print(f"{what}, {whose}: {clock:.2f} s, {processor:.2f} s of CPU time", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = [] if options.root is None else ["data=folder", f"data.root={options.root.resolve()}"]
        for turn in range(options.runs + 1):  # the first round is warm-up
            if turn == 1:
                taken.clear()
            for what, command in COMMANDS.items():
                for whose, checkout in checkouts.items():
                    add(what, whose, *call(command, checkout, folder)[1:])
            for name, chosen in TRAININGS.items() if data else ():
                for whose, checkout in checkouts.items():
                    add(f"to the first step, {name}", whose, *until_first_step([*chosen, *data], checkout, folder))
            for whose, checkout in checkouts.items() if data else ():
                given = ["experiment=brisk", *data, *BRIEF]
                add("from the last step, `experiment=brisk`", whose, *from_last_step(given, checkout, folder))
    print(f"{processor_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}\n")  # fmt: skip
    print("| what | checkout | n | wall-clock s, median (minimum - maximum) | CPU s, median (minimum - maximum) |")
    print("|---|---|---|---|---|")
    for (what, whose), one in taken.items():
        print(f"| {what} | {whose} | {options.runs} | {_spread(one.clock)} | {_spread(one.processor)} |")
    for whose in checkouts:
        hydra, show = (min(taken[what, whose].clock) for what in (HYDRA, SHOW))
        print(f"\n{SHOW} takes {show / hydra:.1f} times as long as {HYDRA} ({whose}, minimum of each).")


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} - {max(values):.2f})"


if __name__ == "__main__":
    main()
