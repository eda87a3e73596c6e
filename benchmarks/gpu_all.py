"""Run all GPU measurements, in order of value, within a time limit.

    python benchmarks/gpu_all.py --root DIR [--design found] [--seconds 540] [--only speed long]
    python benchmarks/gpu_all.py --halves DIR1 DIR2

DIR holds the CIFAR-10 images, train/CLASS/* and test/CLASS/*; DIR1 and DIR2 each hold some of the classes. Each part is
written to the Markdown and JSON files of `--out` as soon as it ends:

- `speed`: images per second of `tiniest`, for one training and for several at once, each in its own process.
- `long`: `tiniest` and `--design` for `--epochs`, with the recipe of tiniest's author as far as the augmentations
  allow, with as many seeds as fit, several at once if that was faster.
- `ladder`: shorter trainings with the recipe `brisk`, for the shortest time to 90 and to 94 %.
- `workers`: trials per hour of `space=cifar` with 1, 2, 4 and 8 workers.
- `tests`: the tests marked cuda.

Parts that do not fit into `--seconds` are skipped, and the files name them. If the command is run again with the same
`--out`, interrupted trainings resume, finished ones are not repeated, and parts that `--only` omits are kept.
`--tiny` runs everything with tiny sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _trainings import (
    TINIEST_RECIPE,
    Record,
    Running,
    Training,
    TrainingError,
    add_root,
    data_overrides,
    history,
    spread,
    wait_until,
)

from archsearch.process import run_as_process
from archsearch.training.storage import replace_whole

CHECKOUT = Path(__file__).resolve().parents[1]
DIFFERS = """\
The recipe is that of tiniest's author (github.com/xvel/cifar10-tiniest, train.py): AdamW, batch 256, OneCycle from
0.0008 to 0.02 in the first 1 % of the steps and down to 0.002, weight decay 0.01, EMA of the weights with decay 0.999,
flip, crop with 4 px of padding, rotation of 15 degrees, brightness and contrast of 10 %. Not available:
sharpness, saturation and hue, and mixup. The EMA starts with the weights after the first step, and images are
normalised by mean and standard deviation instead of by subtracting 0.5."""
TARGETS = (0.90, 0.94)
FULL_RESOLUTION = {"found": ("arch.stem.stride=1",)}  # a GPU is fast enough for it
FASTER = 1.05  # speedup from which several trainings run at once
SPARE = 1.1  # safety factor of time estimates
STARTING = 25.0  # s of a process before its first step and after its last


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes of all parts; `--tiny` uses others."""

    epochs: int
    seeds: tuple[int, ...]
    at_once: int
    probe_epochs: int
    ladder: tuple[tuple[str, int], ...]  # networks and epochs
    workers: tuple[int, ...]
    workers_seconds: float
    least: dict[str, float]  # minimum s of each part
    overrides: tuple[str, ...] = ()
    tests: tuple[str, ...] = ("-m", "cuda")


FULL = Sizes(
    epochs=200,
    seeds=(0, 1, 2),
    at_once=4,
    probe_epochs=3,
    ladder=(("brisk", 10), ("found", 10), ("found", 25), ("wrn28_2_blueprint", 50), ("found", 100)),
    workers=(1, 2, 4, 8),
    workers_seconds=20,
    least={"speed": 40, "long": 60, "ladder": 20, "workers": 50, "tests": 30},
)
TINY = Sizes(
    epochs=2,
    seeds=(0,),
    at_once=2,
    probe_epochs=1,
    ladder=(("brisk", 1),),
    workers=(1,),
    workers_seconds=1,
    least=dict.fromkeys(("speed", "long", "ladder", "workers", "tests"), 0.0),
    overrides=(
        "arch.width=0.25", "constraints=none", "train.batch_size=8", "train.device=cpu", "train.kernels=torch",
        "train.precision=fp32", "train.compile=false", "train.whiten=false", "train.recalibrate=null",
    ),
    tests=("-m", "cuda", "-k", "no_such_test"),
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Session:
    """What all parts share: sizes, images, time limit, and results so far."""

    sizes: Sizes
    root: Path
    out: Path
    design: str
    deadline: float  # of the monotonic clock
    parts: list[str]
    sections: dict[str, list[str]] = field(default_factory=dict)  # lines of Markdown by part
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """The seconds until the time limit."""
        return self.deadline - time.monotonic()

    def after(self, part: str) -> float:
        """Return the minimum seconds of the parts after `part`."""
        return sum(self.sizes.least[later] for later in self.parts[self.parts.index(part) + 1 :])

    def training(self, name: str, arch: str, epochs: int, overrides: Sequence[str], seed: int = 0) -> Training:
        """Return the training of `arch` in the folder `name`, on all training images, tested once at the end."""
        given = [
            *data_overrides(self.root, self.out / "cache"), f"arch={arch}", *FULL_RESOLUTION.get(arch, ()),
            "constraints=none", "data.validation=0", f"train.epochs={epochs}", "train.tta=flip", f"seed={seed}",
            *overrides, *self.sizes.overrides,
        ]  # fmt: skip
        return Training(given, (self.out / "runs" / name).resolve())

    def say(self, part: str, *lines: str) -> None:
        """Add lines to the section of `part`, and write both files."""
        self.sections.setdefault(part, []).extend(lines)
        print("\n".join(lines), flush=True)
        text = [f"# GPU benchmarks, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "", conditions()]
        for name in PARTS:
            text += ["", f"## {name}", "", *self.sections[name]] if name in self.sections else []
        replace_whole(self.out / "gpu_all.md", ("\n".join(text) + "\n").encode())
        record = json.dumps({**self.found, "sections": self.sections}, indent=2) + "\n"
        replace_whole(self.out / "gpu_all.json", record.encode())

    def recall(self) -> None:
        """Load the results of an earlier command with the same `--out`."""
        if (self.out / "gpu_all.json").exists():
            self.found = json.loads((self.out / "gpu_all.json").read_text(encoding="utf-8"))
            self.sections = self.found.pop("sections")

    def keep(self, training: Training, arch: str, recipe: str, record: Record) -> None:
        """Store the record of a finished training."""
        found = self.found.setdefault("trainings", {})
        found[training.folder.name] = {"arch": Path(arch).stem, "recipe": recipe, **record}

    @property
    def trainings(self) -> list[Record]:
        """The finished trainings."""
        return list(self.found.get("trainings", {}).values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts; return 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_root(parser)
    parser.add_argument(
        "--halves", type=Path, nargs=2, metavar="DIR", help="two folders, each with some of the classes"
    )
    parser.add_argument("--design", default="found", help="shipped network, or YAML file of a design")
    parser.add_argument("--seconds", type=float, default=540, help="time limit of the whole command")
    parser.add_argument("--epochs", type=int, help="epochs of the part `long`")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path("outputs", "gpu_all"))
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, on the CPU")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    if options.root is None and options.halves is None:
        print("skipped: no images; give --root DIR or --halves DIR1 DIR2, or set ARCHSEARCH_CIFAR10")
        return 0
    if not options.tiny and not has_gpu():
        print("skipped: torch sees no CUDA device")
        return 0
    sizes = TINY if options.tiny else FULL
    with images(options.root, options.halves, options.out) as root:
        session = Session(
            sizes=sizes if options.epochs is None else replace(sizes, epochs=options.epochs),
            root=root,
            out=options.out,
            design=str(Path(options.design).resolve()) if options.design.endswith(".yaml") else options.design,
            deadline=begun + options.seconds,
            parts=[part for part in PARTS if part in options.only],
        )
        return run(session)


def run(session: Session) -> int:
    """Run the parts of `session` that fit; return 1 if any failed."""
    failed = False
    session.recall()
    for part in session.parts:
        begun, least = time.monotonic(), session.sizes.least[part]
        session.sections.pop(part, None)
        if session.left < least:
            session.say(part, f"Skipped: {session.left:.0f} s were left, and it takes at least {least:.0f} s.")
            continue
        try:
            PARTS[part](session)
        except TrainingError as error:
            failed = True
            session.say(part, f"**Failed**:\n\n```\n{error}\n```")
        session.say(part, "", f"Took {time.monotonic() - begun:.0f} s.")
    return int(failed)


def speed(session: Session) -> None:
    """Measure images per second of one training, and of several at once."""
    sizes = session.sizes
    rates: dict[int, float] = {}
    for count in (1, sizes.at_once):
        trainings = [
            session.training(f"speed-{count}-{index}", "tiniest", sizes.probe_epochs, TINIEST_RECIPE)
            for index in range(count)
        ]
        rates[count] = sum(each["history"][-1]["images_per_second"] for each in train_all(trainings))
    session.found["speed"] = {str(count): rate for count, rate in rates.items()}
    session.say(
        "speed",
        f"`tiniest`, the last of {sizes.probe_epochs} epochs, n=1 each: {rates[1]:.0f} images/s; {sizes.at_once} "
        f"trainings at once: {rates[sizes.at_once]:.0f} in total, {rates[sizes.at_once] / rates[1]:.2f} times as many.",
    )


def long(session: Session) -> None:
    """Train the two networks for all epochs, with as many seeds as fit before the later parts."""
    sizes = session.sizes
    rates = session.found.get("speed") or {"1": 1e-9}
    alone, together = rates["1"], rates.get(str(sizes.at_once), 0)
    at_once = sizes.at_once if together > FASTER * alone else 1
    each = sizes.epochs * 50_000 / max(alone, together) * SPARE  # GPU seconds of a training
    session.say("long", DIFFERS, "")
    order = [(arch, seed) for seed in sizes.seeds for arch in ("tiniest", session.design)]
    count = len(order)
    if "speed" in session.found and not sizes.overrides:
        fit = int((session.left - session.after("long") - STARTING) / each)
        count = min(len(order), fit if fit > 0 else int(session.left > STARTING + each))
    if count == 0:
        session.say(
            "long", f"Skipped: {sizes.epochs} epochs take about {each:.0f} s, and {session.left:.0f} s were left."
        )
        return
    named = [(f"long-{Path(arch).stem}-{seed}", arch, seed) for arch, seed in order[:count]]
    trainings = [session.training(name, arch, sizes.epochs, TINIEST_RECIPE, seed) for name, arch, seed in named]
    records = train_all(trainings, at_once=at_once, deadline=session.deadline, session=session, part="long")
    for (_, arch, _), training, record in zip(named, trainings, records, strict=True):
        if record:
            session.keep(training, arch, "author's", record)
    session.say("long", "", *table(session, "author's"), f"\n{at_once} at once, {count} of {len(order)} trainings.")


def ladder(session: Session) -> None:
    """Train for more and more epochs with the recipe `brisk`, and report the shortest time to each target."""
    rate: dict[str, float] = {}
    for arch, epochs in session.sizes.ladder:
        name = f"ladder-{arch}-{epochs}"
        takes = STARTING + epochs * 50_000 / rate[arch] * SPARE if arch in rate else session.sizes.least["ladder"]
        if session.left - session.after("ladder") < takes:
            session.say("ladder", f"Skipped: `{arch}` for {epochs} epochs, about {takes:.0f} s.")
            continue
        recipe = ["experiment=brisk", *(["arch.stages.c3.dilation=2"] if arch.startswith("wrn") else [])]
        training = session.training(name, arch, epochs, recipe)
        [record] = train_all([training], deadline=session.deadline)
        if record:
            rate[arch] = record["images_per_second"]
            session.keep(training, arch, "brisk", record)
    session.say("ladder", *table(session, "brisk"), "")
    for target in TARGETS:
        session.say("ladder", f"- {100 * target:.0f} %: {fastest(session.trainings, target)}")


def workers(session: Session) -> None:
    """Measure the trials per hour of a search, by number of workers."""
    from workers import search

    session.say(
        "workers", "| workers | trials per hour | speedup | s until all had trained an epoch |", "|---|---|---|---|"
    )
    rates: dict[str, float] = {}
    for count in session.sizes.workers:
        if session.left - session.after("workers") < session.sizes.least["workers"]:
            session.say("workers", f"| {count} | skipped: {session.left:.0f} s were left | | |")
            continue
        cache = f"data.cache='{(session.out / 'cache').resolve()}'"
        given = [cache, *session.sizes.overrides]
        measured = search(session.root, count, session.sizes.workers_seconds, given)
        rates[str(count)] = measured.trials_an_hour
        ratio = measured.trials_an_hour / next(iter(rates.values())) if next(iter(rates.values())) else float("nan")
        session.found["workers"] = rates
        session.say("workers", f"| {count} | {measured.trials_an_hour:.0f} | {ratio:.2f} | {measured.start:.0f} |")


def tests(session: Session) -> None:
    """Run the tests marked cuda."""
    marked = [file for file in sorted(CHECKOUT.glob("tests/**/test_*.py")) if "mark.cuda" in file.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *session.sizes.tests, *map(str, marked)]
    limit = max(session.left, 1)
    try:
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        session.say("tests", "Stopped by the time limit.")
        return
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1]
    session.found["tests"] = {"exit_code": done.returncode, "last_line": last}
    session.say("tests", f"Exit code {done.returncode}: {last}")


PARTS: dict[str, Callable[[Session], None]] = {
    "speed": speed,
    "long": long,
    "ladder": ladder,
    "workers": workers,
    "tests": tests,
}


def train_all(
    trainings: Sequence[Training],
    *,
    at_once: int | None = None,
    deadline: float = float("inf"),
    session: Session | None = None,
    part: str = "",
) -> list[Record]:
    """Run the trainings, `at_once` at a time; return a record of each, an empty one if the deadline stopped it."""
    waiting, running, records = list(enumerate(trainings)), dict[int, Running](), [Record() for _ in trainings]
    try:
        while waiting or running:
            while waiting and len(running) < (at_once or len(trainings)) and time.monotonic() < deadline:
                index, training = waiting.pop(0)
                running[index] = training.start()
            if time.monotonic() >= deadline:
                break
            wait_until(list(running.values()), min(deadline, time.monotonic() + 1))
            for index in [one for one, each in running.items() if each.process.poll() is not None]:
                records[index] = running.pop(index).result()
                if session is not None:
                    session.say(part, f"- {trainings[index].folder.name}: {described(records[index])}")
    finally:
        for each in running.values():
            each.stop()
    for index, training in enumerate(trainings):
        if not records[index] and session is not None:
            session.say(part, f"- {training.folder.name}: stopped after {len(history(training))} epochs")
    return records


def table(session: Session, recipe: str) -> list[str]:
    """Return the table of the trainings with `recipe`: a row for each network and number of epochs."""
    rows: dict[tuple[str, int], list[Record]] = {}
    for one in session.trainings:
        if one["recipe"] == recipe:
            rows.setdefault((one["arch"], one["epochs"]), []).append(one)
    lines = [
        "| network | epochs | n | test accuracy % | with mirrored images % | parameters | s |",
        "|---|" + 6 * "---|",
    ]
    for (arch, epochs), records in rows.items():
        cells = [
            arch,
            str(epochs),
            str(len(records)),
            spread([100 * one["accuracy"]["test"] for one in records]),
            spread([100 * one["accuracy"]["test_flip"] for one in records]),
            str(records[0]["parameters"]),
            spread([one["seconds"] for one in records], 1),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def fastest(trainings: Sequence[Record], target: float) -> str:
    """Return the training that reached the accuracy `target` (0 to 1) in the shortest time, as text."""
    reached = [one for one in trainings if one["accuracy"]["test"] >= target]
    if not reached:
        return "no training reached it."
    best = min(reached, key=lambda one: one["seconds"])
    return f"{best['seconds']:.1f} s: `{best['arch']}`, {described(best)}, n=1."


def described(record: Record) -> str:
    """Return the accuracy and the time of a training, as text."""
    test, flipped = (100 * record["accuracy"][name] for name in ("test", "test_flip"))
    return f"{test:.2f} % ({flipped:.2f} with mirrored images), {record['epochs']} epochs in {record['seconds']:.1f} s"


@contextmanager
def images(root: Path | None, halves: Sequence[Path] | None, out: Path) -> Iterator[Path]:
    """Yield the folder of all images: `root`, or one with links to the classes of both halves."""
    if not halves:
        assert root is not None, "one of the two is given"
        yield root
        return
    joined = (out / "images").resolve()
    for split in ("train", "test"):
        (joined / split).mkdir(parents=True, exist_ok=True)
        for half in halves:
            for folder in sorted((half / split).iterdir()):
                link = joined / split / folder.name
                if link.exists() and link.resolve() != folder.resolve():
                    raise SystemExit(f"--halves: the class {folder.name} is in both folders")
                if not link.exists():
                    link.symlink_to(folder.resolve(), target_is_directory=True)
    yield joined


def has_gpu() -> bool:
    """Return whether torch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


def conditions() -> str:
    """Return one sentence with the device and the versions."""
    import torch

    from archsearch.processor import processor_name

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    return f"{gpu}, {os.cpu_count()} cores of {processor_name()}, {versions}."


if __name__ == "__main__":
    run_as_process(main)
