"""Weights tied so that mirrored maps give mirrored maps, as torch parametrizations; norms that pairs share.

Channels c and c + C / 2 of a map are a pair: for the mirror image, each is the mirror image of the other. Filters
therefore come in pairs too, and half of them determine the rest. The free weights are those of the state dict, under
torch's names for them (`conv.parametrizations.weight.original0`). Imports torch only: not the plan.

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
    """The first half of the filters, whose mirror images the others are: of an image, or one group of pairs each.

    Also of a bias, where there is nothing to mirror.
    """

    def forward(self, half: Tensor) -> Tensor:
        """Return all (O, I, T, T) filters of the first O / 2."""
        return torch.cat([half, _mirrored(half)])

    def right_inverse(self, whole: Tensor) -> Tensor:
        """Return the first half of the filters."""
        return whole[: len(whole) // 2].clone()


class PairedColumns(nn.Module):
    """Filters over pairs that give plain values: the weights of a pair's channels are mirror images.

    They weigh what the channels of a pair share, as the `even` of `PairedBoth` does.
    """

    def forward(self, half: Tensor) -> Tensor:
        """Return the (O, I, T, T) filters of (O, I / 2, T, T)."""
        return torch.cat([half, _mirrored(half)], 1) * _HALF

    def right_inverse(self, whole: Tensor) -> Tensor:
        """Return the weights of what the channels of a pair share."""
        first, second = whole.chunk(2, 1)
        return (first + _mirrored(second)) * _HALF


class PairedBoth(nn.Module):
    """Filters from pairs to pairs, given by what the two channels of a pair have in common and by how they differ.

    With respect to sums and differences of pairs the weights are two matrices, `even` and `odd`, either of which is
    free and of half the sides; the change of basis is orthonormal, so that steps of gradients are the same.
    """

    def forward(self, even: Tensor, odd: Tensor) -> Tensor:
        """Return the (O, I, T, T) filters of two (O / 2, I / 2, T, T)."""
        first = torch.cat([even + odd, even - odd]) * _HALF
        same, other = _mirrored(first).chunk(2)
        return torch.cat([first, torch.cat([other, same])], 1)

    def right_inverse(self, whole: Tensor) -> tuple[Tensor, Tensor]:
        """Return `even` and `odd` of the first half of the filters."""
        outputs, inputs = len(whole) // 2, whole.shape[1] // 2
        same, turned = whole[:outputs, :inputs], _mirrored(whole[:outputs, inputs:])
        return (same + turned) * _HALF, (same - turned) * _HALF


def _mirrored(weight: Tensor) -> Tensor:
    """Return the filters mirrored left to right; biases, dense layers and single taps have no left and right."""
    return weight.flip(3) if weight.ndim == 4 and weight.shape[3] > 1 else weight


def tie(module: nn.Conv2d | nn.Linear, symmetry: Symmetry) -> None:
    """Tie the weights of `module` by `symmetry`; its fresh weights become those of the nearest kind."""
    grouped = isinstance(module, nn.Conv2d) and module.groups > 1
    rows = symmetry == "lift" or grouped
    parametrization = PairedColumns() if symmetry == "project" else PairedRows() if rows else PairedBoth()
    parametrize.register_parametrization(module, "weight", parametrization)
    if module.bias is not None and symmetry != "project":
        parametrize.register_parametrization(module, "bias", PairedRows())


def tie_values(module: nn.Module) -> None:
    """Let both channels of a pair share what `module` has one number a channel of: its weight, and its bias."""
    for name in ("weight", "bias"):
        if getattr(module, name) is not None:
            parametrize.register_parametrization(module, name, PairedRows())


def free_weights(module: nn.Conv2d | nn.Linear) -> list[nn.Parameter]:
    """Return the parameters that the weight of `module` is made of: itself, where it is not tied."""
    if not parametrize.is_parametrized(module, "weight"):
        assert isinstance(module.weight, nn.Parameter)
        return [module.weight]
    return list(module.get_submodule("parametrizations.weight").parameters(recurse=False))


class Folded:
    """A norm over C / 2 channels that takes maps of C channels; derive from it before torch's class.

    Channels c and c + C / 2 share scale, shift and statistics: a map is folded so that both lie side by side.
    """

    @staticmethod
    def fold(images_BCHW: Tensor) -> Tensor:
        """Return the (B, C / 2, H, 2 W) map; of channels-last memory a view, channels-last too."""
        batch, channels, height, width = images_BCHW.shape
        pairs = images_BCHW.unflatten(1, (2, channels // 2)).permute(0, 2, 3, 4, 1)
        return pairs.reshape(batch, channels // 2, height, 2 * width)

    @staticmethod
    def unfold(folded: Tensor) -> Tensor:
        """Return the (B, C, H, W) map that `fold` has folded."""
        return folded.unflatten(3, (folded.shape[3] // 2, 2)).permute(0, 4, 1, 2, 3).flatten(1, 2)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that torch's norms give it
        """Return the (B, C, H, W) map normalised."""
        return self.unfold(super().forward(self.fold(input)))  # type: ignore[misc]


class PairedBatchNorm2d(Folded, nn.BatchNorm2d):
    """nn.BatchNorm2d over pairs of channels, which share scale, shift and statistics."""


class PairedGroupNorm(Folded, nn.GroupNorm):
    """nn.GroupNorm over pairs of channels, which share scale, shift and statistics; so a layer norm too."""


class PairedInstanceNorm2d(Folded, nn.InstanceNorm2d):
    """nn.InstanceNorm2d over pairs of channels, which share scale, shift and statistics."""


def concat_pairs(maps: list[Tensor]) -> Tensor:
    """Return maps of pairs concatenated along channels so that their pairs are pairs again."""
    return torch.cat([one.unflatten(1, (2, one.shape[1] // 2)) for one in maps], 2).flatten(1, 2)


def untied(network: nn.Module) -> nn.Module:
    """Return a copy of `network` in plain layers, each with all its weights: as other programs read it."""
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
    """Return `module`, a copy, as one of the class that it was before its weights were tied.

    torch's `remove_parametrizations` changes the class, which copies share with their original.
    """
    names = [name for name in ("weight", "bias") if parametrize.is_parametrized(module, name)]
    whole = {name: getattr(module, name).detach() for name in names}
    del module._modules["parametrizations"]
    module.__class__ = type(module).__base__  # type: ignore[assignment]
    for name, value in whole.items():
        module.register_parameter(name, nn.Parameter(value))
    return module
