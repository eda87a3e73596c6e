"""CPU time to check one proposal, by outcome: `python benchmarks/check_cost.py [--count 1000]`.

Composes, decodes, lowers, measures and compares with the limits, as a search does, for random points of the space
`cifar` and of one with wider stages and tight limits. The first points, which fill the caches, do not count. Prints the
median and mean CPU time in microseconds.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from archsearch.cli.compose import Composer
from archsearch.config_files import config_folder
from archsearch.errors import SpecError
from archsearch.processor import processor_name
from archsearch.search.evaluator import Evaluator
from hydra_plugins.archsearch_sweeper._grammar import read_request

WIDER = {f"arch.stages.c{i}.width": "range(64, 257, 16)" for i in (1, 2, 3, 4)}
SMALL = "++constraints.parameters.below=60000"
FIELD = "++constraints.receptive_field.above=90"
CASES: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
    "space=cifar": ({}, ()),
    "width 1, 60 000 parameters, above 90 px": ({**WIDER, "arch.width": 1.0}, (SMALL, FIELD)),
    "width fit, 60 000 parameters, above 90 px": (WIDER, (SMALL, FIELD)),
    "width fit, 3 000 parameters": (WIDER, ("++constraints.parameters.below=3000",)),
    "width fit, 60 000 parameters, above 700 px": (WIDER, (SMALL, "++constraints.receptive_field.above=700")),
}


def outcome(evaluator: Evaluator, point: Mapping[str, Any]) -> str:
    """Return the outcome of checking a point."""
    try:
        candidate = evaluator(point)
    except SpecError:
        return "no network"
    return ("repaired" if candidate.repairs else "kept") if candidate.kept else "infeasible"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    cifar = yaml.safe_load((config_folder() / "space" / "cifar.yaml").read_text())
    print("| space and limits | outcome | points | median, µs | mean, µs |\n|---|---|---|---|---|")
    for name, (changes, limits) in CASES.items():
        request, rng = read_request([], {**cifar, **changes}), np.random.default_rng(0)
        composer = Composer(("data=shapes", *limits))
        evaluator = Evaluator(composer.compose, composer.blocks, fingerprint="benchmark")
        spent: dict[str, list[float]] = {}
        for number in range(2 * options.count):
            point = {**request.fixed, **request.space.draw(rng)}
            began = time.thread_time()
            found = outcome(evaluator, point)
            if number >= options.count:
                spent.setdefault(found, []).append((time.thread_time() - began) * 1e6)
        for found, times in spent.items():
            cells = f"{statistics.median(times):.0f} | {statistics.mean(times):.0f}"
            print(f"| {name} | {found} | {len(times)} of {options.count} | {cells} |", flush=True)
    print(f"\n{processor_name()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
