"""Claim: random designs of a search space, not only known ones, train several times as fast as with torch alone.

    python benchmarks/space_steps.py [--designs 12] [--steps 4] [--rounds 2] [--against OTHER_CHECKOUT]

Draws random designs of `space=cifar` that keep the assignment's limits at the width that fits them, and trains each for
`--steps` batches of 256 images of `shapes`: with the defaults of a run, with torch alone (train.kernels=torch) and with
another checkout of the project (`--against`), interleaved. The first epoch, which records or warms up, does not count.
Ratios are taken within a design and a round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from archsearch.processor import processor_name

HERE = Path(__file__).resolve().parents[1]
BATCH, EPOCHS = 256, 3
Kernels = Literal["auto", "torch"]


def main() -> None:
    """Draw the designs, measure in interleaved rounds and print a Markdown table."""
    options = arguments()
    if options.measure is not None:
        print(json.dumps(speeds(options.measure, options.steps, options.kernels)))
        return
    ways = {"archsearch": (HERE, "auto"), "torch": (HERE, "torch")}
    if options.against is not None:
        ways["before"] = (options.against.resolve(), "auto")
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), options.designs, options.seed)
        for _ in range(options.rounds):
            for name, (checkout, kernels) in ways.items():
                found[name].append(apart(checkout, folder, options.steps, kernels))
                print(f"{name}: {[round(each) for each in found[name][-1]]}", file=sys.stderr, flush=True)
    print(
        f"{options.designs} designs, n={options.rounds} rounds of {EPOCHS - 1} x {options.steps} steps, batch {BATCH}, "
    )
    print(f"{processor_name()}, {os.cpu_count()} cores, torch {torch.__version__}\n")
    print(
        "| configuration | images/s, all designs together | archsearch / configuration, all designs together "
        "| by design, median (minimum to maximum) |"
    )
    print("|---|---|---|---|")
    for name, rounds in found.items():
        whole = [together(speeds_D) for speeds_D in rounds]
        ours = [together(speeds_D) for speeds_D in found["archsearch"]]
        ratio = statistics.median(a / b for a, b in zip(ours, whole, strict=True))
        ratios_RD = [
            [a / b for a, b in zip(*one, strict=True)] for one in zip(found["archsearch"], rounds, strict=True)
        ]
        by_design = [statistics.median(ratios_R) for ratios_R in zip(*ratios_RD, strict=True)]
        ratios = f"{statistics.median(by_design):.2f} ({min(by_design):.2f} to {max(by_design):.2f})"
        print(f"| {name} | {statistics.median(whole):.0f} | {ratio:.2f} | {ratios} |")


def together(speeds_D: Sequence[float]) -> float:
    """Return the images per second over all designs, each trained on the same number of images."""
    return statistics.harmonic_mean(speeds_D)


def draw(folder: Path, count: int, seed: int) -> None:
    """Write `count` random designs of the space that keep the limits."""
    import numpy as np
    import yaml

    from archsearch.cli.compose import Composer
    from archsearch.config_files import config_folder
    from archsearch.errors import SpecError
    from archsearch.runs.record import design_yaml
    from archsearch.search.evaluator import Evaluator
    from hydra_plugins.archsearch_sweeper._grammar import read_request

    space = yaml.safe_load((config_folder() / "space" / "cifar.yaml").read_text())
    request, composer, rng = read_request([], space), Composer(("data=shapes",)), np.random.default_rng(seed)
    evaluator = Evaluator(composer.compose, composer.blocks, fingerprint="benchmark")
    written = 0
    while written < count:
        try:
            candidate = evaluator({**request.fixed, **request.space.draw(rng)})
        except SpecError:
            continue
        if candidate.kept:
            _, checked = candidate.experiment
            (folder / f"{written:03}.yaml").write_text(design_yaml(checked))
            written += 1


def apart(checkout: Path, folder: str, steps: int, kernels: str) -> list[float]:
    """Return the images per second of every design in `folder`, with `checkout` in a separate process."""
    command = [sys.executable, __file__, "--measure", folder, "--steps", str(steps), "--kernels", kernels]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def speeds(folder: Path, steps: int, kernels: Kernels) -> list[float]:
    """Return the images per second at which this process trains each design."""
    from archsearch.augment import make_augmenter
    from archsearch.data import load_dataset
    from archsearch.library import build, load_design
    from archsearch.settings.augment import AugmentPolicy
    from archsearch.settings.data import DataSettings
    from archsearch.settings.training import OptimizerSettings, ScheduleSettings, TrainSettings
    from archsearch.training.loop import train

    images = load_dataset(DataSettings(name="shapes"))
    count = steps * BATCH
    part = replace(images.train, images_BHWC=images.train.images_BHWC[:count], labels_B=images.train.labels_B[:count])
    none = replace(part, images_BHWC=part.images_BHWC[:0], labels_B=part.labels_B[:0])
    augmenter = make_augmenter(AugmentPolicy(), mean=images.mean, std=images.std, device="cpu")
    found: list[float] = []
    for file in sorted(folder.glob("*.yaml")):
        with tempfile.TemporaryDirectory() as run_dir:
            result = train(
                build(load_design(file)),
                replace(images, train=part, validation=none),
                settings=TrainSettings(
                    epochs=EPOCHS,
                    batch_size=BATCH,
                    device="cpu",
                    kernels=kernels,
                    compile=False,
                    checkpoint_seconds=None,
                ),
                optimizer=OptimizerSettings(),
                schedule=ScheduleSettings(),
                augmenter=augmenter,
                seed=0,
                run_dir=Path(run_dir),
                evaluate_test=False,
            )
        found.append(max(record.images_per_second for record in result.history[1:]))
    return found


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0, help="seed of the random designs")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kernels", default="auto", choices=["auto", "torch"], help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
