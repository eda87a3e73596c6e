"""CUDA graphs: a step's forward and backward recorded once and replayed as one launch each; imports torch.

For short trainings of small networks on a GPU, where launching kernels takes longer than running them and compiling
would take longer than the training. Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.errors import RunError, SpecError
from archsearch.training.compiling import Forward, cause_of, kept_statistics
from archsearch.training.device import Precision, autocast


class _Recorded(nn.Module):
    """Stands around a network, so that recording changes this module's `forward` and not the network's."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.network(images_BCHW)


def check_graphs(device: torch.device, *, compiled: bool) -> None:
    """Raise `SpecError` where `train.cuda_graphs` cannot be done."""
    if device.type != "cuda":
        raise SpecError("train.cuda_graphs", f"needs a CUDA device, the run is on {device.type}", "Set it to false.")
    if compiled:
        raise SpecError("train.cuda_graphs", "cannot be combined with train.compile", "Set train.compile=false.")


def graph_network(network: nn.Module, images_BCHW: Tensor, precision: Precision) -> Forward:
    """Return the forward of `network` for batches of exactly the shape and layout of `images_BCHW`.

    Running statistics are put back after the recording and gradients dropped; `network` itself is not changed.
    Raises `RunError` where torch cannot record it.
    """
    device = images_BCHW.device
    recorded = _Recorded(network).train()
    try:
        # Weights that autocast has cast must not be kept from the recording to the replays: they change.
        with kept_statistics(network), autocast(device, precision, keep_casts=False):
            torch.cuda.make_graphed_callables(recorded, (images_BCHW,))  # sets `recorded.forward`
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise RunError(
            f"train.cuda_graphs=true: recording failed: {cause_of(error)}. Set train.cuda_graphs=false."
        ) from error
    return recorded
