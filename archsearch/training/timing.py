"""How long a training step of a network takes on a device, and an image of an evaluation; imports torch.

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

_WARM = 2  # steps before the first that counts: one is recorded or finds algorithms, one takes memory
_FEWEST, _MOST = 3, 64  # steps that count
_BATCHES = 2  # of different images

Clock = Callable[[], float]
"""Seconds since some moment; `time.process_time` leaves out what other processes take, of a run on one thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The least seconds that a step took, and an image of an evaluation."""

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
    """Return how long `network` takes to train on drawn bytes, by the backend that `settings` choose.

    A step is a whole one: batch, forward, backward, optimizer. Steps are taken for about `seconds` by `clock`, and the
    fastest counts: what disturbs one makes it slower, never faster. The network is changed. Raises `SpecError` and
    `DeviceMemoryError` as a training does.
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
    """Return the least seconds of one call of `do`, called with 0, 1, 2, ..."""

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
