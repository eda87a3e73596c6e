"""Designs per second, from specification to margins, on one core: python benchmarks/analysis_speed.py.

Every design has different random widths, so caches serve only the parts that recur.
Prints a Markdown table with n, median and spread.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
import time
from dataclasses import replace

from archsearch.analysis.limits import decode_limits, margins
from archsearch.analysis.measure import measure
from archsearch.cli.compose import Composer
from archsearch.design.lower import lower, lower_block
from archsearch.design.plan import design_id
from archsearch.design.spec import DesignSpec, decode_design
from archsearch.processor import processor_name


def varied(design: DesignSpec, rng: random.Random) -> DesignSpec:
    """Return `design` with a random width from 8 to 128 in every stage."""
    stages = tuple(replace(stage, width=8 * rng.randint(1, 16)) for stage in design.stages)
    return replace(design, stages=stages)


def main() -> int:
    """Measure and print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="c1c2c3c4")
    parser.add_argument("--designs", type=int, default=5000, help="designs per round")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    composer = Composer([f"arch={options.arch}"])
    tree = composer.compose({})
    design, limits = decode_design(tree["arch"], composer.blocks), decode_limits(tree["constraints"])
    rng = random.Random(0)
    print("| what | designs/s, CPU time, median | lowest | highest | rounds | designs per round |")
    print("|---|---|---|---|---|---|")
    for name, with_id in (("spec to margins", False), ("spec to margins and design id", True)):
        rates: list[float] = []
        for _ in range(options.rounds):
            designs = [varied(design, rng) for _ in range(options.designs)]
            lower_block.cache_clear()
            begun = time.process_time()
            for one in designs:
                plan = lower(one)
                margins(plan, measure(plan), limits)
                if with_id:
                    design_id(plan)
            rates.append(options.designs / (time.process_time() - begun))
        median = statistics.median(rates)
        print(
            f"| {options.arch}: {name} | {median:,.0f} | {min(rates):,.0f} | {max(rates):,.0f} | {options.rounds} "
            f"| {options.designs} |"
        )
    print(f"\nPython {platform.python_version()}, {processor_name()}, one thread.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
