"""Which cheap training ranks designs like the full recipe: cost against rank correlation.

    python benchmarks/fidelity.py --root DIR [overrides ...] [--designs 20] [--space cifar] [--seed 0] [--noise 0]

Draws random designs of the space that keep the limits (repaired as in a search). Trains each with the recipe of
`experiment=brisk` for 10 epochs on nine tenths of the training images, and cheaply: for 2, 3 and 4 epochs, on a fifth,
a quarter and a half of the images, and on images of 24 and 16 px. Prints for each cheap training its seconds and the
Spearman correlation of its held-out accuracy with that after 10 epochs. `--noise N` also trains the first design with N
seeds at each fidelity, for the standard deviation of a single training. Overrides apply to every training.

Each finished training is written to `--out` at once and is not repeated.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from _trainings import Record, Records, Training, TrainingError, add_root, data_overrides, folder_of
from scipy.stats import spearmanr

from archsearch.cli.compose import Composer
from archsearch.config_files import config_folder, read_yaml
from archsearch.errors import SpecError
from archsearch.overrides import assign
from archsearch.process import run_as_process
from archsearch.processor import processor_name
from archsearch.search.evaluator import Evaluator
from archsearch.search.space import Value
from hydra_plugins.archsearch_sweeper._grammar import read_request

WHOLE = "10 epochs"
FIDELITIES: Mapping[str, tuple[str, ...]] = {
    "2 epochs": ("train.epochs=2",),
    "3 epochs": ("train.epochs=3",),
    "4 epochs": ("train.epochs=4",),
    "2 epochs of a fifth of the images": ("train.epochs=2", "data.limit_train=10000"),
    "4 epochs of a quarter of the images": ("train.epochs=4", "data.limit_train=12500"),
    "4 epochs of half of the images": ("train.epochs=4", "data.limit_train=25000"),
    "4 epochs at 24 px": ("train.epochs=4", "data.image_size=24", "data.resize=true"),
    "4 epochs at 16 px": ("train.epochs=4", "data.image_size=16", "data.resize=true"),
    WHOLE: ("train.epochs=10",),
}
ARCHS = {"brisk": "brisk"}  # the network that a space varies, by the space; of the others, the default network
TRIES = 1000  # random points per requested design


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the missing trainings and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_root(parser)
    parser.add_argument("--designs", type=int, default=20)
    parser.add_argument("--space", default="cifar", help="name of a shipped space")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random designs")
    parser.add_argument("--only", nargs="+", choices=list(FIDELITIES), default=list(FIDELITIES), metavar="FIDELITY")
    parser.add_argument("--noise", type=int, default=0, help="number of seeds of the first design at each fidelity")
    parser.add_argument("--out", type=Path, default=Path("outputs", "fidelity", "trainings.jsonl"))
    parser.add_argument("overrides", nargs="*", help="overrides of every training")
    options = parser.parse_intermixed_args(arguments)
    if options.root is None:
        print("skipped: no images; give --root DIR or set ARCHSEARCH_CIFAR10")
        return 0
    records = Records(options.out)
    designs = list(random_designs(options.space, options.seed, options.designs, options.overrides))
    jobs = [(name, number, 0) for number in range(len(designs)) for name in options.only]
    jobs += [(name, 0, seed) for name in options.only for seed in range(1, options.noise)]
    for name, number, seed in jobs:
        key = " ".join([f"{options.space} {options.seed}: design {number}, seed {seed}, {name}", *options.overrides])
        if key not in records.by_key:
            train(options, records, key, [*designs[number], *FIDELITIES[name], f"seed={seed}"], number, name)
    print(f"\n{options.space}, {len(designs)} random designs, {processor_name()}\n")
    print("\n".join(tables(options, records)))
    return 0


def random_designs(space: str, seed: int, count: int, overrides: Sequence[str] = ()) -> Iterator[list[str]]:
    """Yield the overrides of `count` distinct random designs that keep the limits; raises `SystemExit` for too few.

    The limits are the defaults, as changed by `overrides`.
    """
    request = read_request([], read_yaml(config_folder() / "space" / f"{space}.yaml"))
    composer = Composer(["experiment=brisk", f"arch={arch_of(space)}", "data=shapes", *overrides])
    evaluator = Evaluator(composer.compose, composer.blocks, fingerprint="benchmark")
    rng, seen = np.random.default_rng(seed), set[str]()
    for _ in range(TRIES * count):
        if len(seen) == count:
            return
        drawn: dict[str, Value] = {**request.fixed, **request.space.draw(rng)}
        try:
            candidate = evaluator(drawn)
        except SpecError:
            continue
        if candidate.margins and all(margin.kept for margin in candidate.margins) and candidate.key not in seen:
            seen.add(candidate.key)
            used = {key: value for key, value in drawn.items() if key not in candidate.unused}
            yield [assign(key, value) for key, value in {**used, **candidate.repairs}.items()]
    if len(seen) < count:
        raise SystemExit(f"of {TRIES * count} random designs, {len(seen)} keep the limits, but {count} are required")


def arch_of(space: str) -> str:
    """Return the network that the shipped space varies."""
    return ARCHS.get(space, "c1c2c3c4")


def train(
    options: argparse.Namespace, records: Records, key: str, overrides: Sequence[str], number: int, name: str
) -> None:
    """Train one design at one fidelity and save its record; a diverged training has no accuracy."""
    cache = options.out.parent / "cache"
    recipe = [
        "experiment=brisk",
        f"arch={arch_of(options.space)}",
        *data_overrides(options.root, cache),
        "data.validation=0.1",
    ]
    training = Training([*recipe, *overrides, *options.overrides], folder_of(options.out, key))
    found: Record = {"accuracy": {"validation": None}, "seconds": None}
    try:
        found = training.run()
    except TrainingError as error:
        if "DivergedError" not in str(error) and "not finite" not in str(error):
            raise
    training.remove()
    records.add(key, {"design_number": number, "fidelity": name, "overrides": options.overrides, **found})
    print(f"{key}: {found['accuracy']['validation']}, {found['seconds']} s", file=sys.stderr, flush=True)


def tables(options: argparse.Namespace, records: Records) -> Iterator[str]:
    """Yield the lines of the table of fidelities, and of the table of noise if requested."""
    found: dict[str, dict[int, Record]] = {name: {} for name in options.only}
    noise: dict[str, list[float]] = {name: [] for name in options.only}
    for key, record in records.by_key.items():
        name, accuracy = record["fidelity"], record["accuracy"]["validation"]
        ours = key.startswith(f"{options.space} {options.seed}:") and record["overrides"] == options.overrides
        if name in found and ours and accuracy is not None:
            if ", seed 0," in key:
                found[name][record["design_number"]] = record
            if record["design_number"] == 0:
                noise[name].append(100 * accuracy)
    yield f"| fidelity | n | s per training: median | share of {WHOLE} | Spearman with {WHOLE} | Spearman, best half |"
    yield "|---|---|---|---|---|---|"
    whole = found.get(WHOLE, {})
    best = sorted(whole, key=lambda number: -accuracy_of(whole[number]))[: max(2, len(whole) // 2)]
    for name, by_number in found.items():
        seconds = [one["seconds"] for one in by_number.values()]
        both = [number for number in by_number if number in whole]
        costs = [by_number[number]["seconds"] / whole[number]["seconds"] for number in both]
        cells = (
            name,
            str(len(seconds)),
            f"{statistics.median(seconds):.1f}" if seconds else "-",
            f"{statistics.median(costs):.2f}" if costs else "-",
            correlation(by_number, whole, both),
            correlation(by_number, whole, [number for number in both if number in best]),
        )
        yield f"| {' | '.join(cells)} |"
    if options.noise > 1:
        yield from (
            "",
            "| fidelity | seeds | accuracy % of the first design | standard deviation |",
            "|---|---|---|---|",
        )
        for name, values in noise.items():
            if len(values) > 1:
                mean, deviation = statistics.mean(values), statistics.stdev(values)
                yield f"| {name} | {len(values)} | {mean:.2f} | {deviation:.2f} |"


def correlation(cheap: Mapping[int, Record], whole: Mapping[int, Record], numbers: Sequence[int]) -> str:
    """Return the Spearman correlation over the designs `numbers`; a dash for fewer than three."""
    if len(numbers) < 3:
        return "-"
    found = spearmanr([accuracy_of(cheap[one]) for one in numbers], [accuracy_of(whole[one]) for one in numbers])
    return f"{float(found.statistic):.2f}"  # type: ignore[attr-defined]


def accuracy_of(record: Record) -> float:
    """Return the held-out accuracy of a training."""
    return record["accuracy"]["validation"]


if __name__ == "__main__":
    run_as_process(main)
