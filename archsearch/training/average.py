"""An exponential moving average of a network's weights and running statistics; imports torch only."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def make_average(network: nn.Module) -> nn.Module:
    """Return a copy of `network` in evaluation mode that holds the average; it has the same state-dict names."""
    average = copy.deepcopy(network).eval()
    return average.requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, *, decay: float, steps: int) -> None:
    """Move `average` towards `network` after `steps` steps (1 for the first).

    The decay is at most (1 + steps) / (10 + steps), so that the start is forgotten (as in TensorFlow's
    ExponentialMovingAverage). Running statistics are averaged too; counters are copied.
    """
    decay = min(decay, (1 + steps) / (10 + steps))
    old: list[Tensor] = []
    new: list[Tensor] = []
    for pairs in (
        zip(average.parameters(), network.parameters(), strict=True),
        zip(average.buffers(), network.buffers(), strict=True),
    ):
        for held, fresh in pairs:
            if held.is_floating_point():
                old.append(held)
                new.append(fresh)
            else:
                held.copy_(fresh)
    get_ema_multi_avg_fn(decay)(old, new, steps)  # one multi-tensor operation
