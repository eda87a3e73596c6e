"""torch parametrizations that tie weights so that mirrored inputs give mirrored outputs; norms over channel pairs.

Channels c and c + C / 2 of a feature map are a pair: mirroring the input mirrors and swaps them. Filters therefore come
in pairs too, and half of them determine the rest. The state dict holds the free weights under torch's names for them
(`conv.parametrizations.weight.original0`). Imports torch only, not the plan.

Legend: B batch, C channels, H height, W width, O output channels, I input channels, T taps.
"""

from __future__ import annotations

import copy
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Symmetry = Literal["lift", "pairs", "project"]
_HALF: Final = 0.5**0.5


class PairedRows(nn.Module):
    """Filters whose second half mirrors the first: over an image, or over pairs in a grouped convolution.

    Also for biases and the values of norms and scales, which have nothing to mirror.
    """

    def forward(self, half: Tensor) -> Tensor:
        """Return all (O, I, T, T) filters, given the first O / 2."""
        return torch.cat([half, _mirrored(half)])

    def right_inverse(self, whole: Tensor) -> Tensor:
        """Return the first half of the filters."""
        return whole[: len(whole) // 2].clone()


class PairedColumns(nn.Module):
    """Filters from pairs to plain values: the weights of the two channels of a pair are mirror images.

    The free weights apply to the part that both channels of a pair share, like `even` of `PairedBoth`.
    """

    def forward(self, half: Tensor) -> Tensor:
        """Return the (O, I, T, T) filters, given (O, I / 2, T, T) free weights."""
        return torch.cat([half, _mirrored(half)], 1) * _HALF

    def right_inverse(self, whole: Tensor) -> Tensor:
        """Return the free weights, which apply to the shared part of a pair."""
        first, second = whole.chunk(2, 1)
        return (first + _mirrored(second)) * _HALF


class PairedBoth(nn.Module):
    """Filters from pairs to pairs, given by weights for the sum and weights for the difference of a pair's channels.

    In the basis of sums and differences, the weights are two free matrices, `even` and `odd`, each with half the rows
    and half the columns. The change of basis is orthonormal, so gradient steps are the same.
    """

    def forward(self, even: Tensor, odd: Tensor) -> Tensor:
        """Return the (O, I, T, T) filters, given two (O / 2, I / 2, T, T) weights."""
        first = torch.cat([even + odd, even - odd]) * _HALF
        same, other = _mirrored(first).chunk(2)
        return torch.cat([first, torch.cat([other, same])], 1)

    def right_inverse(self, whole: Tensor) -> tuple[Tensor, Tensor]:
        """Return `even` and `odd`, computed from the first half of the filters."""
        outputs, inputs = len(whole) // 2, whole.shape[1] // 2
        same, turned = whole[:outputs, :inputs], _mirrored(whole[:outputs, inputs:])
        return (same + turned) * _HALF, (same - turned) * _HALF


def _mirrored(weight: Tensor) -> Tensor:
    """Return the filters mirrored left to right; biases, dense weights and kernels of width 1 stay as they are."""
    return weight.flip(3) if weight.ndim == 4 and weight.shape[3] > 1 else weight


def tie(module: nn.Conv2d | nn.Linear, symmetry: Symmetry) -> None:
    """Tie the weights of `module` by `symmetry`; the free weights start from its present weights."""
    grouped = isinstance(module, nn.Conv2d) and module.groups > 1
    rows = symmetry == "lift" or grouped
    parametrization = PairedColumns() if symmetry == "project" else PairedRows() if rows else PairedBoth()
    parametrize.register_parametrization(module, "weight", parametrization)
    if module.bias is not None and symmetry != "project":
        parametrize.register_parametrization(module, "bias", PairedRows())


def tie_values(module: nn.Module) -> None:
    """Tie the per-channel weight and bias of `module`, so that both channels of a pair share them."""
    for name in ("weight", "bias"):
        if getattr(module, name) is not None:
            parametrize.register_parametrization(module, name, PairedRows())


def free_weights(module: nn.Conv2d | nn.Linear) -> list[nn.Parameter]:
    """Return the free parameters of the weight of `module`: the weight itself if it is not tied."""
    if not parametrize.is_parametrized(module, "weight"):
        assert isinstance(module.weight, nn.Parameter)
        return [module.weight]
    return list(module.get_submodule("parametrizations.weight").parameters(recurse=False))


class Folded:
    """Mixin for a norm over C / 2 channels that takes feature maps of C channels; list it before torch's class.

    Channels c and c + C / 2 share scale, shift and statistics: folding makes them one channel of twice the width.
    """

    @staticmethod
    def fold(images_BCHW: Tensor) -> Tensor:
        """Return the (B, C / 2, H, 2 W) feature map; for channels-last memory, a channels-last view."""
        batch, channels, height, width = images_BCHW.shape
        pairs = images_BCHW.unflatten(1, (2, channels // 2)).permute(0, 2, 3, 4, 1)
        return pairs.reshape(batch, channels // 2, height, 2 * width)

    @staticmethod
    def unfold(folded: Tensor) -> Tensor:
        """Return the (B, C, H, W) feature map that `fold` folded."""
        return folded.unflatten(3, (folded.shape[3] // 2, 2)).permute(0, 4, 1, 2, 3).flatten(1, 2)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that torch's norms give it
        """Return the normalised (B, C, H, W) feature map."""
        return self.unfold(super().forward(self.fold(input)))  # type: ignore[misc]


class PairedBatchNorm2d(Folded, nn.BatchNorm2d):
    """nn.BatchNorm2d over pairs of channels, which share scale, shift and statistics."""


class PairedGroupNorm(Folded, nn.GroupNorm):
    """nn.GroupNorm over pairs of channels, which share scale, shift and statistics; with one group, a layer norm."""


class PairedInstanceNorm2d(Folded, nn.InstanceNorm2d):
    """nn.InstanceNorm2d over pairs of channels, which share scale, shift and statistics."""


def concat_pairs(maps: list[Tensor]) -> Tensor:
    """Return feature maps of pairs, concatenated along channels so that pairs stay pairs."""
    return torch.cat([one.unflatten(1, (2, one.shape[1] // 2)) for one in maps], 2).flatten(1, 2)


def untied(network: nn.Module) -> nn.Module:
    """Return a copy of `network` with all weights in plain layers instead of tied ones, for other programs."""
    plain = copy.deepcopy(network)
    for parent in list(plain.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, PairedBatchNorm2d):
                setattr(parent, name, _plain_norm(module))
            elif parametrize.is_parametrized(module):
                setattr(parent, name, _plain_layer(module))
    return plain


def _plain_norm(norm: PairedBatchNorm2d) -> nn.BatchNorm2d:
    plain = nn.BatchNorm2d(2 * norm.num_features, norm.eps, norm.momentum).train(norm.training)
    own = norm.state_dict()
    plain.load_state_dict({name: torch.cat([value, value]) if value.ndim else value for name, value in own.items()})
    return plain.to(norm.weight.device)


def _plain_layer(module: nn.Module) -> nn.Module:
    """Return `module`, a copy, restored to the class that it had before its weights were tied.

    torch's `remove_parametrizations` modifies the present class, which a copy shares with its original.
    """
    names = [name for name in ("weight", "bias") if parametrize.is_parametrized(module, name)]
    whole = {name: getattr(module, name).detach() for name in names}
    del module._modules["parametrizations"]
    module.__class__ = type(module).__base__  # type: ignore[assignment]
    for name, value in whole.items():
        module.register_parameter(name, nn.Parameter(value))
    return module
