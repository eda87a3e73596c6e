"""Switching a network to the kernels and back; imports torch and the network's plain modules.

`prepare` replaces the class of a module by a derived class, so that weights, keys of the state dict, copies and hooks
stay as they are. `put_back` restores the class.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from archsearch.kernels.chain import Chain
from archsearch.kernels.fitting import Prepared, fitting, suited
from archsearch.kernels.library import Kernels
from archsearch.kernels.maps import add_maps, global_average, share_map
from archsearch.kernels.weights import whole_pairs
from archsearch.network.modules import Branches, GlobalPool2d, Network
from archsearch.network.symmetry import PairedBoth


def prepare(network: nn.Module, kernels: Kernels, *, in_bf16: bool = False) -> bool:
    """Make `network` use `kernels` if possible; return False, and change nothing, if it has no suitable sequence.

    With `in_bf16`, feature maps are kept in bfloat16 in training; sums, weights and statistics are always float32.
    Sequences, branches and pools are prepared only if all modules around them are of these types or `Network`. The
    contents of any other module stay with torch, and so does a sequence with hooks on its modules.
    """
    prepared = [*_containers(network), *(one for one in network.modules() if type(one) is PairedBoth)]
    if not any(type(module) is nn.Sequential for module in prepared):
        return False
    for module in prepared:
        module.__class__ = _PREPARED[type(module)]
        module._kernels, module._in_bf16 = kernels, in_bf16
    return True


def put_back(network: nn.Module) -> None:
    """Undo `prepare`: make `network` compute with plain torch again."""
    for module in network.modules():
        if isinstance(module, Prepared):
            module.__class__ = _PLAIN[type(module)]  # pyright: ignore[reportAttributeAccessIssue]
            del module._kernels, module._in_bf16


def _containers(module: nn.Module) -> list[nn.Module]:
    """Return `module` and the modules below it that are to be prepared, through types that are prepared only."""
    if type(module) is nn.Sequential and any(one._forward_hooks or one._forward_pre_hooks for one in module):
        return []
    if type(module) not in _PREPARED:
        return []
    return [module, *(one for child in module.children() for one in _containers(child))]


class SuitingNetwork(Prepared, Network):
    """A network that passes feature maps to each part in a dtype that the part accepts."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, K) logits of normalised images."""
        for part in self.children():
            images_BCHW = part(suited(images_BCHW, part))
        return images_BCHW.flatten(1)


class AveragePool(Prepared, GlobalPool2d):
    """A global pool whose average is computed by a kernel; the output is float32, for bfloat16 too."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, C, 1, 1) tensor of one value per channel."""
        kernels = self._usable()
        if kernels is None:
            return super().forward(images_BCHW)
        own = fitting(images_BCHW, kernels) if self.kind == "average" else None
        return super().forward(images_BCHW.float()) if own is None else global_average(images_BCHW, own)


class SharingBranches(Prepared, Branches):
    """Branches whose outputs, and the gradients of whose shared input, are added by the kernels."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the merged (B, C, H, W) feature map."""
        branches, kernels = list(self.children()), self._usable()
        if kernels is None:
            return super().forward(images_BCHW)
        own = fitting(images_BCHW, kernels)
        given = (images_BCHW,) * len(branches) if own is None else share_map(images_BCHW, len(branches), own)
        return self.merged([branch(suited(one, branch)) for branch, one in zip(branches, given, strict=True)])

    def added(self, one_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        """Return the sum of two feature maps."""
        kernels = self._usable()
        alike = (one_BCHW.shape, one_BCHW.dtype) == (other_BCHW.shape, other_BCHW.dtype)
        own = fitting(other_BCHW, kernels) if kernels is not None and alike else None
        return one_BCHW + other_BCHW if own is None else add_maps(one_BCHW, other_BCHW, own)


class WholePairs(Prepared, PairedBoth):
    """Filters from channel pairs to channel pairs, expanded by a kernel."""

    def forward(self, even: Tensor, odd: Tensor) -> Tensor:
        """Return the (O, I, T, T) filters of two halves (O / 2, I / 2, T, T)."""
        kernels = self._usable()
        if kernels is not None and even.ndim == 4 and even.device.type == "cpu" and even.dtype == torch.float32:
            return whole_pairs(even, odd, kernels)
        return super().forward(even, odd)


_PREPARED: Final[dict[type[nn.Module], type[nn.Module]]] = {
    nn.Sequential: Chain,
    Network: SuitingNetwork,
    GlobalPool2d: AveragePool,
    Branches: SharingBranches,
    PairedBoth: WholePairs,
}
_PLAIN: Final = {prepared: plain for plain, prepared in _PREPARED.items()}
