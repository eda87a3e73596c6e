"""One whole step of a training: a batch, gradients, what the optimizers make of them, and the epoch's sums.

Imports torch. Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from archsearch.settings.training import TrainSettings
from archsearch.training.checkpoint import RunState
from archsearch.training.feed import Feed
from archsearch.training.graphs import GraphedStep
from archsearch.training.optimizers import clip_gradients

Learn = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def make_step(
    feed: Feed,
    learn: Learn,
    state: RunState,
    settings: TrainSettings,
    device: torch.device,
    *,
    graphed: bool,
    notice: Callable[[str], None],
) -> Callable[[int], None]:
    """Return the function that takes step i of an epoch; with `graphed` as CUDA graphs, of which `notice` hears.

    `learn` sets the gradients for a batch and returns the loss and how many images were named right.
    """

    def descend(images_BCHW: Tensor, labels_B: Tensor) -> None:
        loss, correct = learn(images_BCHW, labels_B)
        if settings.clip is not None:
            for optimizer in state.optimizers:
                state.scaler.unscale_(optimizer)
            clip_gradients(state.network, settings.clip)
        for optimizer in state.optimizers:
            state.scaler.step(optimizer)
        state.scaler.update()
        for optimizer in state.optimizers:
            optimizer.zero_grad(set_to_none=True)
        state.loss_sum += loss
        state.correct += correct

    if not graphed:
        return lambda step: descend(*feed.batch(step, state.augment))
    recorded = GraphedStep(
        lambda steps, tensors: descend(*feed.made(steps, tensors)),
        state.optimizers,
        device,
        required=settings.cuda_graphs is True,
        failed=notice,
    )

    def replay(step: int) -> None:
        made_of = feed.ingredients(step, state.augment)
        recorded(made_of.steps, made_of.tensors)

    return replay
