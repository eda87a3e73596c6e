"""Which way a training computes a network's logits: as it is, compiled, or as recorded CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from archsearch.settings.training import TrainSettings
from archsearch.training.compiling import Forward, compile_network, wants_compile
from archsearch.training.device import Precision
from archsearch.training.graphs import check_graphs, graph_network


def choose_forward(
    network: nn.Module,
    settings: TrainSettings,
    device: torch.device,
    precision: Precision,
    *,
    images: int,
    example: Callable[[], Tensor],
    rehearse: Callable[[Forward], None],
) -> tuple[Forward, bool, str | None]:
    """Return the function from images to logits, whether it is compiled, and a notice where `auto` fell back.

    `images` counts those of the whole run, `example` returns one batch, `rehearse` runs a step forward and backward.
    """
    if settings.cuda_graphs:
        check_graphs(device, compiled=settings.compile is True)
        return graph_network(network, example(), precision), False, None
    wanted, notice = wants_compile(settings.compile, device, images)
    forward: Forward | None = None
    if wanted:
        forward, notice = compile_network(network, rehearse, required=settings.compile is True)
    return (network, False, notice) if forward is None else (forward, True, notice)
