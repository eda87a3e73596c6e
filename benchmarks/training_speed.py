"""Claim: a training step is several times as fast as in a tutorial's loop, with the same network and batch size.

    python benchmarks/training_speed.py --root DIR [--archs c1c2c3c4 small] [--batch 256] [--steps 40] [--rounds 3]

naive: a torch Dataset that runs Albumentations in __getitem__, a DataLoader (--workers processes), fp32, default
memory layout, SGD, loss.item() at every step. torch: the project's `train` with torch's own operations, compiled with
--compile, kernels launched individually. archsearch: the same with the defaults of a run: the project's kernels on a
CPU, CUDA graphs on a GPU. Rounds are interleaved (A B C A B C ...); a ratio is that of the medians, with the minimum
and maximum over rounds. Compilation is done before the first round, CUDA graph capture in each. DIR holds
train/CLASS/* and test/CLASS/*; without it, the embedded set `shapes` is used.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from archsearch.data import load_dataset
from archsearch.data.dataset import Dataset as Images
from archsearch.library import build, check, load_design
from archsearch.processor import processor_name
from archsearch.settings.data import DataSettings
from archsearch.settings.training import OptimizerSettings, ScheduleSettings, TrainSettings

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
# About 5 M MACs: half the resolution from the first layer on.
SMALL: dict[str, Any] = {
    "name": "small",
    "input": [3, 32, 32],
    "stem": {"block": "strided", "out": 24},
    "stages": {
        "c1": {"block": "depthwise", "width": 24, "repeats": 2},
        "c2": {"block": "normal", "width": 64, "repeats": 2, "entry": {"block": "strided"}},
        "c3": {"block": "depthwise", "width": 128, "repeats": 2, "dilation": 2},
    },
    "head": {"pool": "global_average", "classes": 10},
}


class Photos(Dataset[tuple[torch.Tensor, int]]):
    """The dataset of a tutorial: one image at a time, transformed by Albumentations."""

    def __init__(self, images: Images, count: int) -> None:
        import albumentations as A
        import cv2

        self.images, self.labels = images.train.images_BHWC[:count], images.train.labels_B[:count]
        fill = tuple(round(255 * level) for level in images.mean)
        self.transform = A.Compose(
            [
                A.HorizontalFlip(p=0.5),
                A.Affine(
                    translate_percent=(-0.0625, 0.0625),
                    scale=(0.9, 1.1),
                    rotate=(-45, 45),
                    p=0.5,
                    border_mode=cv2.BORDER_REFLECT_101,
                ),
                A.CoarseDropout(
                    num_holes_range=(1, 1), hole_height_range=(16, 16), hole_width_range=(16, 16), fill=fill, p=0.5
                ),
                A.Normalize(images.mean, images.std),
            ],
            strict=True,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image_HWC = self.transform(image=np.asarray(self.images[index]))["image"]
        return torch.from_numpy(image_HWC).permute(2, 0, 1), int(self.labels[index])


def naive(network: nn.Module, images: Images, options: argparse.Namespace) -> Callable[[], float]:
    """Return a function that trains `steps` batches with the tutorial's loop and returns images per second."""
    device = torch.device(options.device)
    photos = Photos(images, options.steps * options.batch)
    loader = DataLoader(photos, options.batch, shuffle=True, num_workers=options.workers, drop_last=True)
    network.to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)

    def once() -> float:
        began, seen, total = time.perf_counter(), 0, 0.0
        for images_BCHW, labels_B in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(network(images_BCHW.to(device)), labels_B.to(device), label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            total += loss.item()
            seen += len(labels_B)
        assert total == total, "the loss is a number"
        return seen / (time.perf_counter() - began)

    return once


def ours(
    network: nn.Module, images: Images, options: argparse.Namespace, folder: Path, **how: Any
) -> Callable[[], float]:
    """Return a function that trains `steps` batches like a run with the settings `how`; returns images per second."""
    from archsearch.augment import make_augmenter
    from archsearch.settings.augment import (
        AugmentPolicy,
        CoarseDropout,
        HorizontalFlip,
        ShiftScaleRotate,
        TransformChoice,
    )
    from archsearch.training.loop import train

    policy = AugmentPolicy(
        transforms=(
            TransformChoice(horizontal_flip=HorizontalFlip()),
            TransformChoice(shift_scale_rotate=ShiftScaleRotate()),
            TransformChoice(coarse_dropout=CoarseDropout()),
        )
    )
    count = options.steps * options.batch
    part = replace(images.train, images_BHWC=images.train.images_BHWC[:count], labels_B=images.train.labels_B[:count])
    none = replace(part, images_BHWC=part.images_BHWC[:0], labels_B=part.labels_B[:0])
    dataset = replace(images, train=part, validation=none)
    augmenter = make_augmenter(policy, mean=images.mean, std=images.std, device=options.device)

    def once() -> float:
        result = train(
            network,
            dataset,
            settings=TrainSettings(
                epochs=1,
                batch_size=options.batch,
                device=options.device,
                checkpoint_seconds=None,
                **how,
            ),
            optimizer=OptimizerSettings(name=options.optimizer),
            schedule=ScheduleSettings(),
            augmenter=augmenter,
            seed=0,
            run_dir=folder,
            evaluate_test=False,
        )
        return result.history[0].images_per_second

    return once


def main() -> None:
    """Measure and print a Markdown table."""
    options = arguments()
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or f"{folder}/cache"
        drawn = DataSettings(name="shapes", cache=cache)
        images = load_dataset(DataSettings(name="folder", root=options.root, cache=cache) if options.root else drawn)
        for arch in options.archs:
            checked = check(load_design(SMALL if arch == "small" else arch), "none")
            torch_alone: dict[str, Any] = {"kernels": "torch", "compile": options.compile, "cuda_graphs": False}
            ways = {
                "naive": naive(build(checked.design), images, options),
                "torch": ours(build(checked.design), images, options, Path(folder) / f"{arch}-torch", **torch_alone),
                "archsearch": ours(build(checked.design), images, options, Path(folder) / arch),
            }
            for way in ways.values():
                way()
            speeds: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(options.rounds):
                for name, way in ways.items():
                    speeds[name].append(way())
            middle = {name: statistics.median(each) for name, each in speeds.items()}
            cells = [f"{middle[name]:.0f}" for name in ways]
            for below in ("naive", "torch"):
                ratios = [b / a for a, b in zip(speeds[below], speeds["archsearch"], strict=True)]
                cells.append(f"{middle['archsearch'] / middle[below]:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
            rows.append(f"| {arch} | {checked.footprint.macs / 1e6:.1f} M | " + " | ".join(cells) + " |")
            print(rows[-1], flush=True)
    print(f"\n{images.name}, batch {options.batch}, {options.steps} steps per round, n={options.rounds}, interleaved, ")
    print(f"compile={options.compile}, {options.workers} loader processes, device {options.device}, ")
    print(f"{processor_name()}, {os.cpu_count()} cores, torch {torch.__version__}\n")
    print(
        "| network | MACs | naive images/s | torch images/s | archsearch images/s | archsearch / naive "
        "| archsearch / torch |\n"
        "|---|---|---|---|---|---|---|"
    )
    print("\n".join(rows))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.environ.get("ARCHSEARCH_CIFAR10"), help="image folder")
    parser.add_argument("--cache", help="folder for decoded images; default: a temporary one")
    parser.add_argument("--archs", nargs="+", default=["c1c2c3c4", "brisk", "small"])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes of the naive DataLoader"
    )
    parser.add_argument("--optimizer", default="sgd", choices=["sgd", "muon"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="compile `torch`")
    return parser.parse_args()


if __name__ == "__main__":
    main()
