"""Modules missing from torch that keep height and width: they select, move, scale or pool channels.

Legend: B batch, C channels, H height, W width. Imports torch only, not the plan.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

_SATURATED = 10.0  # tanh(exp(x)) is 1 in float64 from 3 on; exp(x) overflows float16 above 11


class TanhExp(nn.Module):
    """x tanh(exp(x)) (Liu and Di 2020)."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the activation of each value, for any shape; the gradient is never NaN for finite inputs."""
        return images_BCHW * torch.tanh(torch.exp(images_BCHW.clamp(max=_SATURATED)))


class ChannelNorm2d(nn.LayerNorm):
    """nn.LayerNorm over the channels at every position of a feature map."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.LayerNorm gives it
        """Return the normalised (B, C, H, W) feature map; channels-last memory needs no copy."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Scale2d(nn.Module):
    """A trained factor, with `bias` also a shift, for each of `count` channels, or for all if `count` is 1."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, count: int, init: float, *, bias: bool) -> None:
        super().__init__()
        self.init = init
        self.weight = nn.Parameter(torch.full((count,), init))
        self.register_parameter("bias", nn.Parameter(torch.zeros(count)) if bias else None)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the scaled (B, C, H, W) feature map."""
        scaled = images_BCHW * self.weight[:, None, None]
        return scaled if self.bias is None else scaled + self.bias[:, None, None]

    def extra_repr(self) -> str:
        """Return the number of factors, their initial value, and whether there is a bias."""
        return f"{len(self.weight)}, init={self.init}, bias={self.bias is not None}"


class Factor(nn.Module):
    """A constant factor."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, C, H, W) feature map times the factor."""
        return images_BCHW * self.value

    def extra_repr(self) -> str:
        """Return the factor."""
        return str(self.value)


class DropPath(nn.Module):
    """Stochastic depth: in training, the feature map of an image is zeroed with probability `rate`, else scaled up."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, C, H, W) feature map; in evaluation, unchanged."""
        if not self.training:
            return images_BCHW
        kept_B111 = functional.dropout(images_BCHW.new_ones((len(images_BCHW), 1, 1, 1)), self.rate)
        return images_BCHW * kept_B111

    def extra_repr(self) -> str:
        """Return the rate."""
        return str(self.rate)


class ChannelPool2d(nn.Module):
    """The average or the maximum of the channels at every position: (B, C, H, W) to (B, 1, H, W)."""

    def __init__(self, kind: Literal["max", "average"]) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, 1, H, W) feature map."""
        return images_BCHW.amax(1, keepdim=True) if self.kind == "max" else images_BCHW.mean(1, keepdim=True)

    def extra_repr(self) -> str:
        """Return the kind."""
        return self.kind


class _ByPairs(nn.Module):
    """Base of modules that select, move or pad channels; with `pairs`, pairs of channels (c and c + C / 2)."""

    def __init__(self, *, pairs: bool = False) -> None:
        super().__init__()
        self.pairs = pairs

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, C, H, W) feature map of the new channels."""
        if self.pairs:
            return self.moved(images_BCHW.unflatten(1, (2, images_BCHW.shape[1] // 2)), 2).flatten(1, 2)
        return self.moved(images_BCHW, 1)

    def moved(self, images: Tensor, dim: int) -> Tensor:
        """Return `images` with new channels along `dim`."""
        raise NotImplementedError


class Narrow(_ByPairs):
    """A slice of `channels` channels from channel `start` on."""

    def __init__(self, start: int, channels: int, *, pairs: bool = False) -> None:
        super().__init__(pairs=pairs)
        share = 2 if pairs else 1
        self.start, self.channels = start // share, channels // share

    def moved(self, images: Tensor, dim: int) -> Tensor:
        """Return the channels."""
        return images.narrow(dim, self.start, self.channels)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"start={self.start}, channels={self.channels}, pairs={self.pairs}"


class ChannelShuffle(_ByPairs):
    """The channels of `groups` groups interleaved, as nn.ChannelShuffle, for every memory format and exporter."""

    def __init__(self, groups: int, *, pairs: bool = False) -> None:
        super().__init__(pairs=pairs)
        self.groups = groups

    def moved(self, images: Tensor, dim: int) -> Tensor:
        """Return the channels in their new order."""
        grouped = images.unflatten(dim, (self.groups, images.shape[dim] // self.groups))
        return grouped.transpose(dim, dim + 1).flatten(dim, dim + 1)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"groups={self.groups}, pairs={self.pairs}"


class PadChannels(_ByPairs):
    """`before` zero channels added in front of the input and `after` after it."""

    def __init__(self, before: int, after: int, *, pairs: bool = False) -> None:
        super().__init__(pairs=pairs)
        share = 2 if pairs else 1
        self.before, self.after = before // share, after // share

    def moved(self, images: Tensor, dim: int) -> Tensor:
        """Return the channels with zero channels around them."""
        return functional.pad(images, (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"before={self.before}, after={self.after}, pairs={self.pairs}"
