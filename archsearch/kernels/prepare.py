"""A network prepared to compute by the kernels, and put back; imports torch and the network's plain modules.

A module is prepared by giving it a class derived from its own: weights, names in the state dict, copies and hooks stay
what they are, and putting it back gives it its class again.

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
    """Let `network` compute what it can by `kernels`; return False, and change nothing, where it has no sequence.

    With `in_bf16`, maps are kept in bfloat16 in training; sums, weights and statistics are float32 always. Sequences,
    branches and pools are prepared where nothing but these and `Network` is around them: what another module holds
    stays with torch, and so does a sequence of modules that have hooks.
    """
    prepared = [*_containers(network), *(one for one in network.modules() if type(one) is PairedBoth)]
    if not any(type(module) is nn.Sequential for module in prepared):
        return False
    for module in prepared:
        module.__class__ = _PREPARED[type(module)]
        module._kernels, module._in_bf16 = kernels, in_bf16
    return True


def put_back(network: nn.Module) -> None:
    """Let `network` compute as torch does: undo `prepare`."""
    for module in network.modules():
        if isinstance(module, Prepared):
            module.__class__ = _PLAIN[type(module)]  # pyright: ignore[reportAttributeAccessIssue]
            del module._kernels, module._in_bf16


def _containers(module: nn.Module) -> list[nn.Module]:
    """Return the modules to prepare, `module` itself among them, of those that pass maps on to one another."""
    if type(module) is nn.Sequential and any(one._forward_hooks or one._forward_pre_hooks for one in module):
        return []
    if type(module) not in _PREPARED:
        return []
    return [module, *(one for child in module.children() for one in _containers(child))]


class SuitingNetwork(Prepared, Network):
    """A network that gives each of its parts maps in the format that it takes."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, K) logits of normalised images."""
        for part in self.children():
            images_BCHW = part(suited(images_BCHW, part))
        return images_BCHW.flatten(1)


class AveragePool(Prepared, GlobalPool2d):
    """A global pool whose average is a kernel's; maps in bfloat16 give float32."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, C, 1, 1) map of one value a channel."""
        kernels = self._usable()
        if kernels is None:
            return super().forward(images_BCHW)
        own = fitting(images_BCHW, kernels) if self.kind == "average" else None
        return super().forward(images_BCHW.float()) if own is None else global_average(images_BCHW, own)


class SharingBranches(Prepared, Branches):
    """Branches whose maps, and the gradients of the map that they share, are added by the kernels."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the merged (B, C, H, W) map."""
        branches, kernels = list(self.children()), self._usable()
        if kernels is None:
            return super().forward(images_BCHW)
        own = fitting(images_BCHW, kernels)
        given = (images_BCHW,) * len(branches) if own is None else share_map(images_BCHW, len(branches), own)
        return self.merged([branch(suited(one, branch)) for branch, one in zip(branches, given, strict=True)])

    def added(self, one_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        """Return the sum of two maps."""
        kernels = self._usable()
        alike = (one_BCHW.shape, one_BCHW.dtype) == (other_BCHW.shape, other_BCHW.dtype)
        own = fitting(other_BCHW, kernels) if kernels is not None and alike else None
        return one_BCHW + other_BCHW if own is None else add_maps(one_BCHW, other_BCHW, own)


class WholePairs(Prepared, PairedBoth):
    """Filters from pairs to pairs, written out by a kernel."""

    def forward(self, even: Tensor, odd: Tensor) -> Tensor:
        """Return the (O, I, T, T) filters of two (O / 2, I / 2, T, T)."""
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
