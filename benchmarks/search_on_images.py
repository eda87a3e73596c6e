"""Compare the default sampler with random feasible designs at equal cost, on real images.

    python benchmarks/search_on_images.py --root DIR [overrides ...] [--space brisk] [--trials 24] [--seeds 0 1 2]
        [--at-once 1]

Runs a search with each sampler and seed, interleaved, at one cheap fidelity without rungs: the recipe of
`experiment=brisk` for 2 epochs of 10 000 images, with 10 000 other training images held out. Prints the highest
held-out accuracy after a quarter, a half and all of the trainings, that of the sampler in the time of random search,
and the training at which it exceeds the best of random search. Overrides apply to every search. `--at-once N` runs N
searches in parallel; give each of them one thread with `train.threads=1`.

The databases are in `--out`. An interrupted search resumes, and a finished one is not repeated.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from _trainings import add_root, data_overrides, spread

from archsearch.process import run_as_process
from archsearch.processor import processor_name
from archsearch.search.storage.reader import open_reader

SAMPLERS = ("footprint", "random")
_PROCESSES: list[subprocess.Popen[bytes]] = []  # the searches that were started
FIDELITY = ("data.limit_train=20000", "data.validation=0.5", "train.epochs=2", "train.tta=none", "study.rungs=null")


@dataclass(frozen=True, slots=True)
class Search:
    """The result of a search: the held-out accuracy in % and the seconds of each training, in order."""

    accuracies: tuple[float, ...]
    seconds: tuple[float, ...]

    def best(self, trainings: int) -> float:
        """Return the highest accuracy of the first `trainings`."""
        return max(self.accuracies[:trainings])

    def within(self, seconds: float) -> int:
        """Return the number of trainings that end within `seconds`."""
        return sum(end <= seconds for end in itertools.accumulate(self.seconds))

    def first_above(self, accuracy: float) -> int | None:
        """Return the number of trainings until one is above `accuracy`, or None."""
        return next((count for count, one in enumerate(self.accuracies, 1) if one > accuracy), None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the missing searches and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_root(parser)
    parser.add_argument("--space", default="brisk")
    parser.add_argument("--trials", type=int, default=24, help="trainings per search")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--at-once", type=int, default=1, help="number of searches in parallel")
    parser.add_argument("--out", type=Path, default=Path("outputs", "search_on_images"))
    parser.add_argument("overrides", nargs="*", help="overrides of every search")
    options = parser.parse_intermixed_args(arguments)
    if options.root is None:
        print("skipped: no images; give --root DIR or set ARCHSEARCH_CIFAR10")
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    pairs = [(sampler, seed) for seed in options.seeds for sampler in SAMPLERS]
    found: dict[str, list[Search]] = {sampler: [] for sampler in SAMPLERS}
    with ThreadPoolExecutor(options.at_once) as threads:
        searches = [threads.submit(searched, options, *pair) for pair in pairs]
        try:
            for (sampler, seed), search in zip(pairs, searches, strict=True):
                found[sampler].append(search.result())
                best = found[sampler][-1].best(options.trials)
                print(f"{sampler}, seed {seed}: {best:.2f} %", file=sys.stderr, flush=True)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            for process in _PROCESSES:
                process.terminate()
            raise
    print(f"space={options.space}, n={len(options.seeds)}, {' '.join((*FIDELITY, *options.overrides))}, "
          f"{processor_name()}\n")  # fmt: skip
    print("\n".join(tables(found, options.seeds, options.trials)))
    return 0


def searched(options: argparse.Namespace, sampler: str, seed: int) -> Search:
    """Run the missing part of the search with `sampler` and return its result."""
    name = f"{sampler}_{seed}"
    command = [
        sys.executable, "-m", "archsearch.run", "-m", "experiment=brisk", f"space={options.space}",
        *data_overrides(options.root, options.out / "cache"), *FIDELITY, *options.overrides, f"sampler={sampler}",
        f"study.sampler.seed={seed}", f"study.trials={options.trials}", f"study.name={name}",
        f"study.storage=sqlite:///{name}.db",
    ]  # fmt: skip
    with (options.out / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=options.out, stdout=log, stderr=log)
        _PROCESSES.append(process)
        code = process.wait()
    if code:
        raise SystemExit(f"{' '.join(command)} failed with exit code {code}: see {options.out / f'{name}.log'}")
    trials = open_reader(f"sqlite:///{options.out.resolve() / name}.db").study(name).trials
    found = [(trial.values[0], trial.attrs["seconds"]) for trial in trials if trial.values is not None]
    accuracies, seconds = zip(*found[: options.trials], strict=True)
    return Search(tuple(100 * one for one in accuracies), seconds)


def tables(found: dict[str, list[Search]], seeds: Sequence[int], trials: int) -> Iterator[str]:
    """Yield the lines of two Markdown tables: the best accuracy by trainings, and the pairs with equal seeds."""
    counts = sorted({max(1, trials // part) for part in (4, 2, 1)})
    yield f"| sampler | {' | '.join(f'best of {count}, %' for count in counts)} | minutes per search |"
    yield f"|{(len(counts) + 2) * '---|'}"
    for sampler, searches in found.items():
        cells = [spread([one.best(count) for one in searches]) for count in counts]
        minutes = statistics.mean(sum(one.seconds) for one in searches) / 60
        yield f"| {sampler} | {' | '.join(cells)} | {minutes:.0f} |"
    yield ""
    ours, random = SAMPLERS
    columns = (f"{random}'s best, %", f"{ours}'s best, %", f"in the time of {random}, %", "ahead from training")
    yield f"| seed | {' | '.join(columns)} |"
    yield "|---|---|---|---|---|"
    for seed, search, base in zip(seeds, found[ours], found[random], strict=True):
        best, count = base.best(trials), max(1, search.within(sum(base.seconds)))
        cells = (seed, *(f"{one:.2f}" for one in (best, search.best(trials), search.best(count))))
        yield f"| {' | '.join(map(str, cells))} | {search.first_above(best) or 'never'} |"


if __name__ == "__main__":
    run_as_process(main)
