"""Claim: the batched executor augments at least four times as many images per second and core as Albumentations.

    python benchmarks/augmentation.py [--policy assignment] [--batch 512] [--rounds 12] [--root DIR]

Uses one thread. Every round times each method once, interleaved (A B C A B C ...), so that a busy machine slows all of
them. A ratio is the median of the ratios within the rounds. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import yaml
from torch import Tensor

from archsearch.augment import make_augmenter
from archsearch.augment.batched import BatchedAugmenter
from archsearch.kernels import FusedAugmenter, Kernels, load_kernels
from archsearch.processor import processor_name
from archsearch.settings.augment import AugmentPolicy, Executor, decode_policy

MEAN, STD = (0.4914, 0.4822, 0.4471), (0.2469, 0.2433, 0.2615)
CONF = Path(__file__).resolve().parents[1] / "conf" / "augment"


def main() -> None:
    """Measure and print the table."""
    options = arguments()
    torch.set_num_threads(1)
    policy = decode_policy(yaml.safe_load((CONF / f"{options.policy}.yaml").read_text(encoding="utf-8")))
    images_BCHW = batch_of(options.batch, options.root)
    ways = {
        "loader: Albumentations, its Normalize, one image at a time": loader(policy, images_BCHW),
        "executor: albumentations": executor(policy, images_BCHW, "albumentations"),
        "executor: batched": executor(policy, images_BCHW, "batched"),
        "executor: batched, with kernels": executor(policy, images_BCHW, "batched", load_kernels()),
    }
    wall: dict[str, list[float]] = {name: [] for name in ways}
    core: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.rounds + 2):
        for name, way in ways.items():
            repeats = 1 if "lbumentations" in name else 8  # similar durations
            began, used = time.perf_counter(), time.process_time()
            for _ in range(repeats):
                way()
            if turn >= 2:  # the first two rounds are warm-up
                wall[name].append(options.batch * repeats / (time.perf_counter() - began))
                core[name].append(options.batch * repeats / (time.process_time() - used))
    report(options, wall, core)


def executor(
    policy: AugmentPolicy, images_BCHW: Tensor, name: Executor, kernels: Kernels | None = None
) -> Callable[[], Tensor]:
    """Return a function that augments one batch with the executor `name`."""
    chosen = replace(policy, executor=name)
    augment, generator = make_augmenter(chosen, mean=MEAN, std=STD, device="cpu"), torch.Generator().manual_seed(0)
    if kernels is not None and isinstance(augment, BatchedAugmenter):
        augment = FusedAugmenter(augment, kernels)
    return lambda: augment(images_BCHW, generator)


def loader(policy: AugmentPolicy, images_BCHW: Tensor) -> Callable[[], Tensor]:
    """Return a function that makes a batch as the assignment's dataset and collation do: one image at a time."""
    from archsearch.augment.reference import A, AlbumentationsAugmenter

    inner = AlbumentationsAugmenter(policy, mean=MEAN, std=STD, device="cpu").composed(*images_BCHW.shape[2:])
    compose = A.Compose([*inner.transforms, A.Normalize(mean=MEAN, std=STD)], strict=True)
    images_BHWC = images_BCHW.permute(0, 2, 3, 1).contiguous().numpy()

    def batch() -> Tensor:
        return torch.stack([torch.from_numpy(compose(image=one)["image"]).permute(2, 0, 1) for one in images_BHWC])

    return batch


def batch_of(count: int, folder: Path | None) -> Tensor:
    """Return `count` uint8 images of 32 x 32 px, channels_last: from `folder`, or noise."""
    if folder is None:
        images = torch.randint(
            0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
        return images.contiguous(memory_format=torch.channels_last)
    from archsearch.data import load_dataset
    from archsearch.settings.data import DataSettings

    images_BHWC = load_dataset(DataSettings(name="folder", root=str(folder), validation=0)).train.images_BHWC
    return torch.from_numpy(images_BHWC[:: max(1, len(images_BHWC) // count)][:count].copy()).permute(0, 3, 1, 2)


def report(options: argparse.Namespace, wall: dict[str, list[float]], core: dict[str, list[float]]) -> None:
    """Print the table and the conditions."""
    import albumentations
    import cv2

    baseline = next(iter(core))
    reference = "executor: albumentations"
    source = "real images" if options.root else "noise"
    rounds = f"n={options.rounds} interleaved rounds"
    print(f"policy `{options.policy}`, batches of {options.batch} ({source}), 1 thread, {rounds}")
    print(f"{processor_name()}; Python {platform.python_version()}, torch {torch.__version__},")
    print(f"albumentations {albumentations.__version__}, opencv {cv2.__version__}\n")
    print(
        "| method | images per second of CPU time: median (range) | images per second of wall-clock time: median |"
        " against the loader | against `albumentations` |"
    )
    print("|---|---|---|---|---|")
    for name, speeds in core.items():
        spread = f"{statistics.median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f})"
        ratios = [
            statistics.median(own / other for own, other in zip(speeds, core[base], strict=True))
            for base in (baseline, reference)
        ]
        print(f"| {name} | {spread} | {statistics.median(wall[name]):,.0f} | {ratios[0]:.1f} x | {ratios[1]:.1f} x |")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--policy", default="assignment")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=12)
    images = os.environ.get("ARCHSEARCH_CIFAR10")
    parser.add_argument(
        "--root",
        "--images",
        type=Path,
        default=images,
        help="folder with train/CLASS/* and test/CLASS/*; without it, noise",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
