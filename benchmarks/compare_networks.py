"""Compare networks on the same images, with the same recipe and time budget, in units of B, the time of `brisk`.

    python benchmarks/compare_networks.py --root DIR [--designs FILE ...] [--only NAME ...] [--seeds 0 1 2] [--budget 1]
    python benchmarks/compare_networks.py --root DIR [overrides ...] --own --budget 10

Trains `experiment=brisk` first; B is the median of its wall-clock times (training, compilation and evaluation). Every
other network trains for as many epochs as fit into `--budget` times B, at the speed of a short probe training, or for
`--epochs`. The recipe is that of `experiment=brisk`; `--own` also trains networks with their own recipe if they have
one. FILE is the YAML file of a design. Uses all training images and no validation images; the accuracy is that of the
last epoch on the test images.

Each finished training is written to `--out` at once and is not repeated: after a kill, the same command resumes, even
within a training.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from _trainings import TINIEST_RECIPE, Record, Records, Training, add_root, data_overrides, folder_of, spread

from archsearch.formatting import number
from archsearch.library import check, load_design
from archsearch.process import run_as_process
from archsearch.processor import processor_name

BASE = "brisk"
BASE_EPOCHS = 10
LIMITS = "advanced_convolution"
SGD = ("optimizer=sgd", "schedule=cosine", "augment=flip_crop", "train.batch_size=128", "train.whiten=false")


@dataclass(frozen=True, slots=True)
class Entry:
    """A network of the table, the overrides that select it, and those of its own recipe."""

    name: str
    design: tuple[str, ...]
    own: tuple[str, ...] = ()


NETWORKS = (
    Entry(BASE, ("arch=brisk",)),
    Entry("found", ("arch=found",)),
    Entry("found_full_resolution", ("arch=found", "arch.stem.stride=1")),
    Entry("c1c2c3c4", ("arch=c1c2c3c4",)),
    Entry("assignment", ("arch=assignment",), ("experiment=assignment",)),
    Entry("tiniest", ("arch=tiniest",), TINIEST_RECIPE),
    Entry("wrn28_2_blueprint", ("arch=wrn28_2_blueprint", "arch.stages.c3.dilation=2"), SGD),
    Entry("densenet_bc_40", ("arch=densenet_bc_40",), SGD),
    Entry("resnet20", ("arch=resnet20",), SGD),
    Entry("resnet8", ("arch=resnet8",), SGD),
)


@dataclass(slots=True)
class Comparison:
    """The trainings of one command; finished ones come from the file."""

    options: argparse.Namespace
    records: Records
    seconds: float = field(default=float("nan"))  # B

    def run(self) -> None:
        """Run the missing trainings; print a line for each."""
        entries = list(chosen(self.options))
        base = NETWORKS[0]
        found = [self.train(base, "brisk", BASE_EPOCHS, seed) for seed in self.options.seeds]
        self.seconds = statistics.median(each["seconds"] for each in found)
        print(f"B = {self.seconds:.1f} s, n={len(found)}", flush=True)
        for entry in entries:
            for recipe in ("brisk", "own"):
                if (recipe == "own" and not (self.options.own and entry.own)) or self.is_base(entry, recipe):
                    continue
                epochs = self.options.epochs or self.epochs(entry, recipe)
                for seed in self.options.seeds:
                    self.train(entry, recipe, epochs, seed)

    def is_base(self, entry: Entry, recipe: str) -> bool:
        """Return whether the trainings for B include it."""
        epochs = self.options.epochs or round(self.options.budget * BASE_EPOCHS)
        return (entry.name, recipe, epochs) == (BASE, "brisk", BASE_EPOCHS)

    def epochs(self, entry: Entry, recipe: str) -> int:
        """Return the number of epochs that fit into the budget, at the speed of a probe training."""
        if entry.name == BASE:
            return max(1, round(self.options.budget * BASE_EPOCHS))
        probe = self.train(entry, recipe, 1, 0, images=self.options.probe)
        each = 1 / probe["images_per_second"]
        before = probe["seconds"] - each * probe["images"]["train"]  # start-up, and the final evaluation
        images = self.records.by_key[self.key(BASE, "brisk", BASE_EPOCHS, self.options.seeds[0])]["images"]["train"]
        return max(1, int((self.options.budget * self.seconds - before) / (each * images)))

    def train(self, entry: Entry, recipe: str, epochs: int, seed: int, images: int | None = None) -> Record:
        """Return the record of a training; run it if the file does not have it."""
        key = self.key(entry.name, recipe, epochs, seed, images)
        if key not in self.records.by_key:
            part = [] if images is None else [f"data.limit_train={images}"]
            training = Training(
                [
                    *(entry.own if recipe == "own" and "experiment=" in entry.own[0] else ("experiment=brisk",)),
                    *data_overrides(self.options.root, self.options.out.parent / "cache"), "constraints=none",
                    *(one for one in (entry.own if recipe == "own" else ()) if not one.startswith("experiment=")),
                    *entry.design, *part, "data.validation=0", "train.tta=flip", f"train.epochs={epochs}",
                    f"seed={seed}", *self.options.overrides,
                ],
                folder_of(self.options.out, key),
            )  # fmt: skip
            record = training.run()
            broken = [margin.limit for margin in check(load_design(training.run_dir / "design.yaml"), LIMITS).margins
                      if not margin.kept]  # fmt: skip
            self.records.add(
                key,
                {
                    "network": entry.name,
                    "recipe": recipe,
                    "broken": broken,
                    "overrides": self.options.overrides,
                    **record,
                },
            )
            training.remove()
            test = 100 * record["accuracy"]["test"]
            print(f"{key}: {test:.2f} %, {record['seconds']:.1f} s", file=sys.stderr, flush=True)
        return self.records.by_key[key]

    def key(self, name: str, recipe: str, epochs: int, seed: int, images: int | None = None) -> str:
        """Return the key of a training in the file; it includes the overrides of the command line."""
        part = "" if images is None else f" {images} images"
        return " ".join([f"{name} {recipe} {epochs} epochs seed {seed}{part}", *self.options.overrides])

    def table(self) -> Iterator[str]:
        """Yield the lines of a Markdown table, the best network first."""
        heads = (
            "network", "recipe", "epochs", "n", "test accuracy %", "with mirrored images %", "parameters", "MACs",
            "RF px", "s", "in B", "limits",
        )  # fmt: skip
        yield f"| {' | '.join(heads)} |"
        yield f"|{len(heads) * '---|'}"
        names = {BASE, *(entry.name for entry in chosen(self.options))}
        rows: dict[tuple[str, str, int], list[Record]] = {}
        for key, one in self.records.by_key.items():
            if one["network"] in names and " images" not in key and one["overrides"] == self.options.overrides:
                rows.setdefault((one["network"], one["recipe"], one["epochs"]), []).append(one)

        def mean(records: Sequence[Record]) -> float:
            return statistics.mean(one["accuracy"]["test"] for one in records)

        for (name, recipe, epochs), records in sorted(rows.items(), key=lambda row: -mean(row[1])):
            seconds = statistics.median(one["seconds"] for one in records)
            first = records[0]
            cells = (
                name,
                recipe,
                str(epochs),
                str(len(records)),
                spread([100 * one["accuracy"]["test"] for one in records]),
                spread([100 * one["accuracy"]["test_flip"] for one in records]),
                number(first["parameters"]),
                number(first["macs"]),
                number(first["receptive_field"]),
                f"{seconds:.0f}",
                f"{seconds / self.seconds:.2f}",
                ", ".join(first["broken"]) or "all kept",
            )
            yield f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the missing trainings and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_root(parser)
    parser.add_argument("--only", nargs="+", help="names of networks, or of design files without extension")
    parser.add_argument("--designs", nargs="+", type=Path, default=[], metavar="FILE", help="YAML files of designs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budget", type=float, default=1.0, help="time of a training, in B")
    parser.add_argument("--epochs", type=int, help="epochs of all trainings but those for B, instead of --budget")
    parser.add_argument("--own", action="store_true", help="also train networks with their own recipes")
    parser.add_argument("--probe", type=int, default=6400, help="images of the probe training")
    parser.add_argument("--out", type=Path, default=Path("outputs", "compare", "networks.jsonl"))
    parser.add_argument("overrides", nargs="*", help="overrides of every training")
    options = parser.parse_intermixed_args(arguments)
    if options.root is None:
        print("skipped: no images; give --root DIR or set ARCHSEARCH_CIFAR10")
        return 0
    comparison = Comparison(options, Records(options.out))
    comparison.run()
    first = next(iter(comparison.records.by_key.values()))
    print(f"\n{first['data']}, {first['images']['train']} training images, {first['device']}, {first['precision']}, "
          f"{processor_name()}, {first['versions']}\n")  # fmt: skip
    print("\n".join(comparison.table()))
    return 0


def chosen(options: argparse.Namespace) -> Iterator[Entry]:
    """Yield the selected networks and designs."""
    designs = [Entry(file.stem, (f"arch='{file.resolve()}'",)) for file in options.designs]
    entries = {entry.name: entry for entry in (*NETWORKS, *designs)}
    if unknown := set(options.only or ()) - set(entries):
        raise SystemExit(f"--only: unknown {', '.join(sorted(unknown))}. Known: {', '.join(entries)}")
    yield from (entry for name, entry in entries.items() if options.only is None or name in options.only)


if __name__ == "__main__":
    run_as_process(main)
