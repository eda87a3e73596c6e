"""Claim: a recorded and replayed step is faster than the same step run by Python, autograd and the dispatcher.

    python benchmarks/recorded_step.py [--archs brisk c1c2c3c4] [--batch 128] [--steps 40] [--rounds 3]

Both use the project's kernels, bf16 feature maps and random images, and run forward, backward and optimizer (Muon),
alternating step by step. Milliseconds are the mean over the steps of a round; the ratio is that of the medians over
rounds, with its minimum and maximum. First, losses and gradients of five steps must be equal, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch

from archsearch.library import build, check, load_design
from archsearch.process import keep_freed_memory
from archsearch.processor import processor_name
from archsearch.settings.training import OptimizerSettings, TrainSettings
from archsearch.training.backend import select_backend
from archsearch.training.recording import RecordedGradients
from archsearch.training.step import Gradients, Loss

Step = Callable[[int], list[torch.Tensor]]


def main() -> None:
    """Measure and print a Markdown table."""
    options = arguments()
    torch.set_flush_denormal(True)
    keep_freed_memory()
    print("| network | MACs | plain, ms per step | recorded, ms per step | ratio | calls |\n|---|---|---|---|---|---|")
    for arch in options.archs:
        macs = check(load_design(arch), "none").footprint.macs / 1e6
        (plain, _), (recorded, gradients) = (stepping(arch, options, recorded=way) for way in (False, True))
        for number in range(5):
            for one, other in zip(plain(number), recorded(number), strict=True):
                assert torch.equal(one, other), "a replay equals the step, bit for bit"
        times: list[tuple[float, float]] = []
        for _ in range(options.rounds):
            spent = [0.0, 0.0]
            for number in range(options.steps):
                for which, way in enumerate((plain, recorded)):
                    began = time.perf_counter()
                    way(number)
                    spent[which] += time.perf_counter() - began
            times.append((1e3 * spent[0] / options.steps, 1e3 * spent[1] / options.steps))
        middle = [statistics.median(each) for each in zip(*times, strict=True)]
        ratios = [one / other for one, other in times]
        ratio = f"{middle[0] / middle[1]:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(
            f"| {arch} | {macs:.1f} M | {middle[0]:.1f} | {middle[1]:.1f} | {ratio} | {gradients.calls} |", flush=True
        )
    print(f"\nbatch {options.batch}, n={options.rounds} rounds of {options.steps} alternating steps of each, ")
    print(f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, {processor_name()}, torch {torch.__version__}")


def stepping(arch: str, options: argparse.Namespace, *, recorded: bool) -> tuple[Step, RecordedGradients]:
    """Return a function that runs step `number` and returns loss and gradients, and the recorded gradients."""
    from archsearch.kernels import calls_into

    cpu, network = torch.device("cpu"), build(load_design(arch)).to(memory_format=torch.channels_last).train()
    settings = TrainSettings(kernels="native")
    backend = select_backend(network, settings, cpu, images=0, example=lambda: batches[0], notice=print)
    optimizers = backend.make_optimizers(OptimizerSettings(name="muon"), batch_size=options.batch)
    loss = Loss(forward=network, device=cpu, precision="fp32", label_smoothing=0.1)
    plain = Gradients(loss, torch.amp.GradScaler("cpu", enabled=False))
    replayed = RecordedGradients(loss, plain, network, calls_into)
    generator = torch.Generator().manual_seed(0)
    batches = [
        (
            torch.randn(options.batch, 3, 32, 32, generator=generator).to(memory_format=torch.channels_last),
            torch.randint(0, 10, (options.batch,), generator=generator),
        )
        for _ in range(4)
    ]

    def take(number: int) -> list[torch.Tensor]:
        found, _ = (replayed if recorded else plain)(*batches[number % 4])
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return [found, *gradients]

    return take, replayed


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archs", nargs="+", default=["brisk", "c1c2c3c4"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
