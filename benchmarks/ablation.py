"""Claim: every part of the recipe `brisk` earns its place: the test accuracy with one part removed or changed.

    python benchmarks/ablation.py --root DIR [--epochs 3] [--seeds 0 1 2] [--at-once 2] [--only whiten batch]

Trains `experiment=brisk` for `--epochs` unchanged and with one change at a time, one thread each, `--at-once` in
parallel, all changes with one seed before the next. Differences are taken within a seed, which determines initial
weights and random choices; the table has their mean and standard deviation over seeds. Ctrl-C prints the table so far.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from archsearch.processor import processor_name

BASE = "as it is"
CHANGES: dict[str, list[str]] = {
    BASE: [],
    "SGD for all weights (optimizer=sgd)": ["optimizer=sgd"],
    "no whitening of the first layer": ["train.whiten=false"],
    "flips drawn again in every epoch": ["augment.transforms.0.horizontal_flip.alternate=false"],
    "no label smoothing": ["train.label_smoothing=0"],
    "batch 256": ["train.batch_size=256"],
    "norms' statistics as they ran": ["train.recalibrate=null"],
    "schedule=onecycle": ["schedule=onecycle"],
    "learning rates of 0.2 in place of 0.1": ["optimizer.learning_rate=0.2", "optimizer.muon_learning_rate=0.2"],
    "learning rates of 0.05": ["optimizer.learning_rate=0.05", "optimizer.muon_learning_rate=0.05"],
    "no weight decay (5e-4, of what goes by SGD)": ["optimizer.weight_decay=0"],
    "weight decay of Muon's weights as well": ["optimizer.muon_weight_decay=0.0005"],
    "initialise=dirac": ["train.initialise=dirac"],
    "averaged weights (train.ema=0.99)": ["train.ema=0.99"],
    "filters not in pairs, twice the parameters": ["arch.symmetry=none", "constraints=none"],
    "flip alone: no warp, no hole": [
        "augment.transforms.1.shift_scale_rotate.p=0",
        "augment.transforms.2.coarse_dropout.p=0",
    ],
}


def main() -> None:
    """Train, print each result as it arrives, and the table at the end."""
    options = arguments()
    if options.root is None:
        print("skipped: no images; give --root DIR or set ARCHSEARCH_CIFAR10")
        return
    changes = {name: given for name, given in CHANGES.items() if name == BASE or chosen(name, options.only)}
    found: dict[str, dict[int, float]] = {name: {} for name in changes}
    jobs = [(name, seed) for seed in options.seeds for name in changes]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.at_once) as workers:

        def run(job: tuple[str, int]) -> None:
            name, seed = job
            found[name][seed] = accuracy(options, changes[name], seed, Path(folder) / f"{seed}-{abs(hash(name))}")
            print(f"seed {seed}, {name}: {found[name][seed]:.2f} %", flush=True)

        try:
            list(workers.map(run, jobs))
        except KeyboardInterrupt:
            workers.shutdown(cancel_futures=True)
    print(table(options, found))


def accuracy(options: argparse.Namespace, overrides: list[str], seed: int, run_dir: Path) -> float:
    """Return the test accuracy (%) of one training."""
    data = ["data=folder", f"data.root={options.root.resolve()}", f"seed={seed}", f"train.epochs={options.epochs}"]
    places = [f"hydra.run.dir={run_dir}", f"study.storage=sqlite:///{run_dir.parent}/{run_dir.name}.db"]
    command = [
        sys.executable,
        "-m",
        "archsearch.run",
        "experiment=brisk",
        *data,
        "train.threads=1",
        *places,
        *overrides,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return 100 * json.loads((run_dir / "result.json").read_text(encoding="utf-8"))["accuracy"]["test"]


def table(options: argparse.Namespace, found: dict[str, dict[int, float]]) -> str:
    """Return the Markdown table of all changes, with differences within each seed."""
    machine = f"{processor_name()}, torch {torch.__version__}"
    lines = [
        f"\nexperiment=brisk, {options.epochs} epochs, one thread each, {options.at_once} at a time; {machine}\n",
        "| change | test accuracy % | difference from the unchanged recipe, same seed | n seeds |",
        "|---|---|---|---|",
    ]
    for name, by_seed in found.items():
        if by_seed:
            both = [seed for seed in by_seed if seed in found[BASE]]
            apart = spread([by_seed[seed] - found[BASE][seed] for seed in both], signed=True) if name != BASE else "-"
            lines.append(f"| {name} | {spread(list(by_seed.values()))} | {apart} | {len(by_seed)} |")
    return "\n".join(lines)


def spread(values: list[float], *, signed: bool = False) -> str:
    """Return mean and standard deviation."""
    if not values:
        return "-"
    mean = f"{statistics.mean(values):{'+' if signed else ''}.2f}"
    return f"{mean} +- {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def chosen(name: str, only: list[str] | None) -> bool:
    """Return whether the change `name` is selected, by a part of its name."""
    return only is None or any(part in name for part in only)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=os.environ.get("ARCHSEARCH_CIFAR10"), help="image folder")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--only", nargs="+", help="select changes by parts of their names")
    return parser.parse_args()


if __name__ == "__main__":
    main()
