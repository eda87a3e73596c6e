"""Time to find feasible designs where few are feasible: `python benchmarks/feasible_proposals.py [--count 1000]`.

The space is `cifar` with wide stages and a budget of 60 000 parameters. Prints the share of random points that keep the
limits without repair, then the time to construct a number of distinct feasible designs (`width: fit`, and larger
dilations where the receptive field is too small).
"""

from __future__ import annotations

import argparse
import platform
import time

import numpy as np
import yaml

from archsearch.cli.compose import Composer
from archsearch.config_files import config_folder
from archsearch.errors import SpecError
from archsearch.processor import processor_name
from archsearch.search.evaluator import Evaluator
from hydra_plugins.archsearch_sweeper._grammar import read_request

BUDGET = ("data=shapes", "++constraints.parameters.below=60000", "++constraints.receptive_field.above=90")


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    space = yaml.safe_load((config_folder() / "space" / "cifar.yaml").read_text())
    space |= {f"arch.stages.c{i}.width": "range(64, 257, 16)" for i in (1, 2, 3, 4)}
    request = read_request([], space)
    composer = Composer(BUDGET)
    rng = np.random.default_rng(0)

    plain = Evaluator(composer.compose, composer.blocks, fingerprint="benchmark", repair=False)
    feasible = 0
    for _ in range(options.count):
        try:
            feasible += plain({**request.space.draw(rng), "arch.width": 1.0}).kept
        except SpecError:
            continue
    print(f"random points: {feasible} of {options.count} keep the limits")

    evaluator = Evaluator(composer.compose, composer.blocks, fingerprint="benchmark")
    keys: set[str] = set()
    looked_at = repaired = 0
    wall, processor = time.perf_counter(), time.process_time()
    while len(keys) < options.count:
        looked_at += 1
        try:
            candidate = evaluator({**request.fixed, **request.space.draw(rng)})
        except SpecError:
            continue
        if candidate.kept:
            keys.add(candidate.key)
            repaired += bool(candidate.repairs)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        f"by construction: {len(keys)} distinct feasible designs of {looked_at} proposals ({repaired} repaired) "
        f"in {processor:.1f} s of CPU time ({wall:.1f} s of wall-clock time), {processor_name()}, "
        f"Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
