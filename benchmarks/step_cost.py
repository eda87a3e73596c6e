"""Claim: the time of a design's training step can be predicted before training; MACs do not determine it.

    python benchmarks/step_cost.py [--designs 16] [--batch 128] [--rounds 3] [--threads N] [--clock wall]

Calibrates the model of this machine's steps (archsearch/cost), then measures the steps of random designs of
`space=cifar` and of shipped networks in `--rounds` interleaved rounds of `--seconds` each; the fastest step counts.
Prints the error of the predictions (median absolute relative error), and the rank correlation (Spearman) of predictions
and of MACs with the measured times. Other processes only slow steps down: on a busy machine, use more rounds, and one
thread with `--clock process`, which measures the CPU time of this process. Caches are still shared, so figures to
publish need a quiet machine and the default options.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr
from space_steps import draw

from archsearch.analysis.measure import measure
from archsearch.cost.calibrate import calibrate
from archsearch.cost.model import Correction, Length, TrainingTime
from archsearch.design.lower import lower
from archsearch.design.spec import DesignSpec
from archsearch.library import load_design
from archsearch.network.assemble import assemble
from archsearch.processor import processor_name
from archsearch.settings.augment import AugmentPolicy
from archsearch.settings.training import OptimizerSettings, TrainSettings
from archsearch.training.timing import time_training

NETWORKS = (
    "brisk", "c1c2c3c4", "quick", "resnet8", "resnet20", "assignment", "all_dilated", "wrn28_2_blueprint",
    "mobilenet_v2", "tiniest", "densenet_bc_40",
)  # fmt: skip
CLOCKS = {"wall": time.perf_counter, "process": time.process_time}


@dataclass(slots=True)
class Network:
    """A design, and the time of its step in seconds: predicted, and measured in each round."""

    name: str
    design: DesignSpec
    predicted: float
    measured: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The fastest round."""
        return min(self.measured)


def main() -> None:
    """Calibrate the model, measure the networks and print a Markdown table."""
    options = arguments()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    train = TrainSettings(batch_size=options.batch, threads=options.threads, kernels=options.kernels, compile=False)
    clock = CLOCKS[options.clock]
    began, used = time.perf_counter(), time.process_time()
    model = calibrate(train, OptimizerSettings(), clock=clock)
    cost = f"{time.perf_counter() - began:.0f} s, {time.process_time() - used:.0f} s of CPU time"
    length = Length(batch=options.batch, steps=1, evaluated=0)
    predict = TrainingTime(model=model, length=length, correction=Correction(factor=1.0, error=model.error))
    networks = [
        Network(name, design, predict(design).seconds) for name, design in designs(options.designs, options.seed)
    ]
    for number in range(options.rounds):
        for one in networks:
            plan = lower(one.design)
            timing = time_training(
                assemble(plan),
                plan.input_shape,
                10,
                settings=train,
                optimizer=OptimizerSettings(),
                policy=AugmentPolicy(),
                seconds=options.seconds,
                clock=clock,
            )
            one.measured.append(timing.step)
            found = f"{timing.step:.4f} s, predicted {one.predicted:.4f} s"
            print(f"round {number + 1}: {one.name} {found}", file=sys.stderr, flush=True)
    report(networks, options, f"{cost}; model error by its own checks {model.error:.1%}")


def report(networks: list[Network], options: argparse.Namespace, model: str) -> None:
    """Print the networks, and how well predictions and MACs rank their times."""
    print(f"n={options.rounds} rounds of {options.seconds} s, batch {options.batch}, {options.clock} clock,")
    print(f"{torch.get_num_threads()} threads, {processor_name()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"calibrating the model took {model}\n")
    print("| network | MACs | step, ms | predicted, ms | predicted / measured |\n|---|---|---|---|---|")
    for one in networks:
        macs, ratio = measure(lower(one.design)).macs / 1e6, one.predicted / one.seconds
        print(f"| {one.name} | {macs:.1f} M | {1e3 * one.seconds:.1f} | {1e3 * one.predicted:.1f} | {ratio:.2f} |")
    print("\n| networks | n | median error | median error, scaled | Spearman of predictions | Spearman of MACs |")
    print("|---|---|---|---|---|---|")
    drawn = [one for one in networks if one.name.isdigit()]
    for label, some in (("all", networks), ("random designs of space=cifar", drawn)):
        if len(some) > 2:
            print(f"| {label} | {len(some)} | {' | '.join(figures(some))} |")


def figures(networks: list[Network]) -> list[str]:
    """Return the median errors, unscaled and with one factor for all, and both rank correlations."""
    ratios = [one.predicted / one.seconds for one in networks]
    middle = statistics.geometric_mean(ratios)
    macs = [measure(lower(one.design)).macs for one in networks]
    seconds = [one.seconds for one in networks]
    ranks: list[Any] = [spearmanr(some, seconds) for some in ([one.predicted for one in networks], macs)]
    return [
        f"{statistics.median(abs(ratio - 1) for ratio in ratios):.1%}",
        f"{statistics.median(abs(ratio / middle - 1) for ratio in ratios):.1%}",
        *(f"{one.statistic:.3f}" for one in ranks),
    ]


def designs(count: int, seed: int) -> list[tuple[str, DesignSpec]]:
    """Return `count` random designs of the space, named by number, and the shipped networks."""
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), count, seed)
        drawn = [(file.stem, load_design(file)) for file in sorted(Path(folder).glob("*.yaml"))]
    return [*drawn, *((name, load_design(name)) for name in NETWORKS)]


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0, help="seed of the random designs")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="seconds per network and round")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--kernels", default="auto", choices=["auto", "native", "torch"])
    parser.add_argument("--clock", default="wall", choices=list(CLOCKS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
