"""Measure the time of a training step, and of an evaluated image, of a network on a device; imports torch.

Knows `nn.Module`, never a plan. Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from archsearch.augment.make import make_augmenter
from archsearch.settings.augment import AugmentPolicy
from archsearch.settings.training import OptimizerSettings, TrainSettings
from archsearch.training.backend import select_backend
from archsearch.training.batches import Batches
from archsearch.training.checkpoint import RunState
from archsearch.training.device import choose_device, freed_after, switches
from archsearch.training.evaluation import DeviceDataset, EvaluationInput, logits_of

_WARM = 2  # warm-up steps: they record the step, search for algorithms and allocate memory
_FEWEST, _MOST = 3, 64  # measured steps
_BATCHES = 2  # of different images

Clock = Callable[[], float]
"""Returns seconds; for a run on one thread, `time.process_time` leaves out the time of other processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The minimum seconds of a training step, and of an image in evaluation."""

    step: float
    evaluated_image: float


def time_training(
    network: nn.Module,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    settings: TrainSettings,
    optimizer: OptimizerSettings,
    policy: AugmentPolicy,
    seconds: float,
    clock: Clock = time.perf_counter,
) -> Timing:
    """Return how long `network` takes on random images, with the backend that `settings` select.

    A step is complete: batch, forward, backward, optimizer. Steps run for about `seconds` of `clock`, and the fastest
    counts, because disturbances only make a step slower. Changes the weights of the network. Raises `SpecError` and
    `DeviceMemoryError` like a training.
    """
    device = choose_device(settings.device)

    def measured() -> Timing:
        with (
            switches(settings, device, images=1),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        ):
            return _measured(network, input_shape, classes, settings, optimizer, policy, seconds, clock, device)

    return freed_after(measured, device, batch_size=settings.batch_size)


def _measured(
    network: nn.Module,
    input_shape: tuple[int, int, int],
    classes: int,
    settings: TrainSettings,
    optimizer: OptimizerSettings,
    policy: AugmentPolicy,
    seconds: float,
    clock: Clock,
    device: torch.device,
) -> Timing:
    channels, height, width = input_shape
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    network.train()
    draws, count = torch.Generator().manual_seed(0), _BATCHES * settings.batch_size
    images = DeviceDataset(
        images_NHWC=torch.randint(256, (count, height, width, channels), dtype=torch.uint8, generator=draws).to(device),
        labels_N=torch.randint(classes, (count,), generator=draws).to(device),
    )
    mean = std = (0.5,) * channels
    augmenter = make_augmenter(policy, mean=mean, std=std, device=device)
    batches = Batches(images, augmenter, batch_size=settings.batch_size, seed=0, layout=layout)
    backend = select_backend(
        network, settings, device, images=1, example=lambda: batches.batch(0, draws), notice=lambda _: None
    )
    try:
        batches.augmenter = backend.prepare_augmenter(augmenter)
        state = RunState(
            network=network,
            average=None,
            optimizers=backend.make_optimizers(optimizer, batch_size=settings.batch_size),
            scaler=torch.amp.GradScaler(device.type, enabled=backend.precision == "fp16"),
            order=draws,
            augment=torch.Generator().manual_seed(0),
            order_state=draws.get_state(),
            loss_sum=torch.zeros((), device=device),
            correct=torch.zeros((), device=device, dtype=torch.int64),
        )
        take = backend.make_step(batches, state)
        step = _least(lambda number: take(number % _BATCHES), seconds, clock, device)
        how = EvaluationInput(mean=mean, std=std, batch_size=settings.batch_size, precision=backend.evaluation)
        evaluation = _least(lambda _: logits_of(network, images, how), seconds / 4, clock, device)
    finally:
        backend.put_back()
    return Timing(step=step, evaluated_image=evaluation / count)


def _least(do: Callable[[int], object], seconds: float, clock: Clock, device: torch.device) -> float:
    """Return the minimum seconds of a call of `do`, which is called with 0, 1, 2, ..."""

    def timed(number: int) -> float:
        began = clock()
        do(number)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - began

    for number in range(_WARM):
        timed(number)
    found: list[float] = []
    while len(found) < _FEWEST or (sum(found) < seconds and len(found) < _MOST):
        found.append(timed(len(found)))
    return min(found)
