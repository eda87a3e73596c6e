"""Claim: a search of 5 000 trials ends without an error, and a proposal takes no longer at the end than at trial 500.

    python benchmarks/long_searches.py [--trials 5000] [--problems layers rates plateau]

Searches each problem twice, without and with noise, using only the sampler `footprint`; nothing is trained.
Problems:
    layers     12 layers of 4 kinds; the features are sums over the layers, so many designs share a footprint
    rates      6 continuous training parameters, no features
    plateau    like layers, but the value is rounded: most designs have one of a few values
Prints the milliseconds per proposal (median of 50) and the best value at trial 100, at 500 and at the end, and the
memory growth from trial 500 to the end.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from archsearch.processor import processor_name
from archsearch.search.samplers.footprint import FootprintProposer
from archsearch.search.samplers.observations import Observation
from archsearch.search.space import Choice, Features, Params, Range, Space

KINDS = {"none": 0.0, "depthwise": 1.0, "dilated": 4.0, "normal": 9.0}
LAYERS = Space(parameters={f"layer{index}": Choice(options=tuple(KINDS)) for index in range(12)})
RATES = Space(parameters={f"rate{index}": Range(low=1e-4, high=1.0, log=True) for index in range(6)})
NOISE = 0.02
WINDOW = 50


def layers(params: Params) -> float:
    """Return a smooth value with one optimal cost and a preference for large kinds in early layers."""
    costs = [KINDS[str(kind)] for kind in params.values()]
    return -abs(math.log1p(sum(costs)) - 3.5) - 0.01 * sum(place * cost for place, cost in enumerate(costs)) / 12


def plateau(params: Params) -> float:
    """Return the same, rounded to steps of 0.5."""
    return round(2 * layers(params)) / 2


def rates(params: Params) -> float:
    """Return a value with a valley along two of the rates; the others are separable."""
    logs = [math.log10(float(value or 0.0)) for value in params.values()]
    return -((logs[0] + logs[1] + 4.0) ** 2) - 0.1 * sum((each + 2.0) ** 2 for each in logs[2:])


PROBLEMS: dict[str, tuple[Space, Callable[[Params], float]]] = {
    "layers": (LAYERS, layers),
    "rates": (RATES, rates),
    "plateau": (LAYERS, plateau),
}


def features(params: Params) -> Features:
    """Return the footprint of layers; rates have none."""
    costs = [KINDS[str(kind)] for kind in params.values() if kind in KINDS]
    return {"cost": sum(costs), "depth": float(sum(cost > 0 for cost in costs))} if costs else {}


def search(name: str, noise: float, trials: int) -> str:
    """Run one search and return its table row."""
    space, value = PROBLEMS[name]
    rng = np.random.default_rng(0)
    taken: set[object] = set()

    def admit(params: Params) -> Features | None:
        return None if space.key(params) in taken else features(params)

    proposer = FootprintProposer(space, admit)
    observations: list[Observation] = []
    seconds: list[float] = []
    cells: list[str] = []
    memory = 0
    for number in range(1, trials + 1):
        began = time.perf_counter()
        design = proposer.propose(observations, [], rng)
        seconds.append(time.perf_counter() - began)
        assert design is not None, "the space is larger than the search"
        taken.add(space.key(design.params))
        observations.append(Observation(design=design, values=(value(design.params) + noise * rng.normal(),)))
        if number in (100, 500, trials):
            best = max(value(each.design.params) for each in observations)
            cells.append(f"{1e3 * statistics.median(seconds[-WINDOW:]):.0f} ms, {best:.3f}")
        if number == 500:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    return f"| {name} | {noise:g} | " + " | ".join(cells) + f" | {grown:.0f} MiB | {sum(seconds):.0f} s |"


def main() -> None:
    """Search each problem and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    options = parser.parse_args()
    print(f"{options.trials} trials, {processor_name()}, numpy {np.__version__}\n")
    print(
        "| problem | noise | at 100 | at 500 | at the end | memory growth from 500 on | time of all proposals |\n"
        "|---|---|---|---|---|---|---|"
    )
    for name in options.problems:
        for noise in (0.0, NOISE):
            print(search(name, noise, options.trials), flush=True)


if __name__ == "__main__":
    main()
