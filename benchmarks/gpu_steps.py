"""Claim: captured in CUDA graphs, the steps of a small network keep a GPU busy; launched kernel by kernel, they do not.

    python benchmarks/gpu_steps.py --root DIR [--archs brisk c1c2c3c4] [--rounds 3] [--ways graphs launched]

For each network, with its batch size and optimizer: images per second of `train` in interleaved rounds; start-up
seconds, which are the first epoch of a fresh network minus a later one (CUDA initialisation, cuDNN search, graph
capture, compilation); kernels per step; and the share of a step in which the GPU is busy (kernel time by torch's
profiler, divided by the time of a step without it). DIR holds train/CLASS/* and test/CLASS/*.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from training_speed import SMALL, ours

from archsearch.data import load_dataset
from archsearch.library import build, check, load_design
from archsearch.settings.data import DataSettings

WAYS: dict[str, dict[str, Any]] = {
    "graphs": {"compile": False, "cuda_graphs": True},
    "launched": {"compile": False, "cuda_graphs": False},
    "graphs, fp32": {"compile": False, "cuda_graphs": True, "precision": "fp32"},
    "compiled, graphs": {"compile": True, "cuda_graphs": True},
    "compiled": {"compile": True, "cuda_graphs": False},
}
# Batch size and optimizer of each network.
HOW = {"brisk": (128, "muon"), "c1c2c3c4": (256, "sgd"), "small": (256, "sgd")}


def main() -> int:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.environ.get("ARCHSEARCH_CIFAR10"), help="image folder")
    parser.add_argument("--cache", default="outputs/cache")
    parser.add_argument("--archs", nargs="+", default=list(HOW), choices=list(HOW))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("skipped: torch sees no CUDA device")
        return 0
    images = load_dataset(DataSettings(name="folder", root=options.root, cache=options.cache))
    print(
        f"{images.name}, {options.steps} steps per round, n={options.rounds} interleaved rounds, "
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, Python {sys.version.split()[0]}\n\n"
        "| network | batch, optimizer | mode | images/s | ms per step | start-up s | kernels per step | GPU busy |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for arch in options.archs:
        batch, optimizer = HOW[arch]
        asked = argparse.Namespace(steps=options.steps, batch=batch, optimizer=optimizer, device="cuda")
        design = check(load_design(SMALL if arch == "small" else arch), "none").design
        with tempfile.TemporaryDirectory() as folder:
            ways = {
                way: ours(build(design), images, asked, Path(folder) / way.replace(", ", "-"), **WAYS[way])
                for way in options.ways
            }
            before: dict[str, float] = {}
            for way, train in ways.items():
                began = time.perf_counter()
                train()
                first = time.perf_counter() - began
                began = time.perf_counter()
                train()
                before[way] = first - (time.perf_counter() - began)
            speeds: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(options.rounds):
                for way, train in ways.items():
                    speeds[way].append(train())
            for way, train in ways.items():
                kernels, busy = profiled(train, options.steps)
                step = batch / statistics.median(speeds[way])
                found = f"{statistics.median(speeds[way]):.0f} ({min(speeds[way]):.0f} to {max(speeds[way]):.0f})"
                print(
                    f"| {arch} | {batch}, {optimizer} | {way} | {found} | {1000 * step:.2f} | {before[way]:.1f} "
                    f"| {kernels:.0f} | {100 * busy / step:.0f} % |",
                    flush=True,
                )
    return 0


def profiled(train: Any, steps: int) -> tuple[float, float]:
    """Return the number of GPU kernels and copies per step, and the seconds that they take."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        train()
    on_device = [event for event in profile.events() or () if str(event.device_type).endswith("CUDA")]
    kernels = [event for event in on_device if "Pageable" not in event.name]  # the images, copied once
    return len(kernels) / steps, sum(event.device_time_total for event in kernels) / 1e6 / steps


if __name__ == "__main__":
    sys.exit(main())
