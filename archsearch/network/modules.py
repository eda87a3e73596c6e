"""Modules missing from torch: uneven padding, fast dilation, layers that keep four dimensions, branches.

Legend: B batch, C channels, H height, W width, K classes. Imports torch and `symmetry` only, not the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.network.symmetry import concat_pairs

Combine = Literal["add", "concat", "multiply", "mean"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
Border = tuple[int, int, int, int]
"""px left, right, above and below a feature map, in torch's order."""


class UnevenConv2d(nn.Conv2d):
    """A convolution of a feature map with a `border` (px left, right, above and below) of zeros or another `mode`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        border: Border,
        mode: PaddingMode = "zeros",
        stride: int,
        dilation: int,
        groups: int,
        bias: bool,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, groups=groups, bias=bias
        )
        self.border: Border = border
        self.mode: PaddingMode = mode

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Conv2d gives it
        """Return the convolved (B, C, H, W) feature map."""
        return super().forward(padded(input, self.border, self.mode))

    def extra_repr(self) -> str:
        """Return nn.Conv2d's own line with the border."""
        mode = "" if self.mode == "zeros" else f", mode={self.mode}"
        return f"{super().extra_repr()}, border={self.border}{mode}"


class Pad2d(nn.Module):
    """A `border` of px left, right, above and below the feature map, of zeros or another `mode`."""

    def __init__(self, border: Border, mode: PaddingMode) -> None:
        super().__init__()
        self.border: Border = border
        self.mode: PaddingMode = mode

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, C, H, W) feature map with its border."""
        return padded(images_BCHW, self.border, self.mode)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"border={self.border}, mode={self.mode}"


def padded(images_BCHW: Tensor, border: Border, mode: PaddingMode) -> Tensor:
    """Return the (B, C, H, W) feature map with a border."""
    return functional.pad(images_BCHW, border, mode="constant" if mode == "zeros" else mode)


class DilatedDepthwiseConv2d(nn.Conv2d):
    """A dilated depthwise convolution (stride 1, odd kernel, same size) that trains without dilation on a CPU.

    torch's CPU backward pass of a dilated depthwise convolution is a plain loop, several times slower than that without
    dilation (measured in benchmarks/training_notes.md). Rows and columns that are `dilation` apart never interact with
    those between them, so the feature map splits into dilation x dilation independent ones, over which the same
    convolution has dilation 1 (as in Chen et al., DeepLab, TPAMI 2018, section 3.1). Only the order of additions
    differs. If the dilation does not divide height and width, torch computes the convolution as usual.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Conv2d gives it
        """Return the convolved (B, C, H, W) feature map."""
        gap = self.dilation[0]
        height, width = input.shape[2:]
        # An exported program keeps the single convolution, which every runtime supports.
        splits = height % gap == 0 and width % gap == 0 and not torch.compiler.is_exporting()
        if input.device.type != "cpu" or not splits or not torch.is_grad_enabled():
            return super().forward(input)
        parts = split_map(input, gap)
        parts = functional.conv2d(parts, self.weight, self.bias, padding=self.kernel_size[0] // 2, groups=self.groups)
        return join_map(parts, gap)


def split_map(images_BCHW: Tensor, gap: int) -> Tensor:
    """Return the (B x gap x gap, C, H / gap, W / gap) feature maps of every gap-th row and column."""
    batch, channels, height, width = images_BCHW.shape
    grid = images_BCHW.permute(0, 2, 3, 1).reshape(batch, height // gap, gap, width // gap, gap, channels)
    parts = grid.permute(0, 2, 4, 1, 3, 5).reshape(batch * gap * gap, height // gap, width // gap, channels)
    return parts.permute(0, 3, 1, 2)


def join_map(parts: Tensor, gap: int) -> Tensor:
    """Return the (B, C, H, W) feature maps that `split_map` split, in channels-last memory."""
    count, channels, height, width = parts.shape
    grid = parts.permute(0, 2, 3, 1).reshape(count // gap**2, gap, gap, height, width, channels)
    whole = grid.permute(0, 3, 1, 4, 2, 5).reshape(count // gap**2, height * gap, width * gap, channels)
    return whole.permute(0, 3, 1, 2)


class PaddedPool2d(nn.Module):
    """Pooling over windows with any padding, which never wins a max and counts in an average if `counts_padding`."""

    def __init__(
        self,
        kind: Literal["max", "average"],
        kernel: int,
        stride: int,
        *,
        before: int,
        after: int,
        counts_padding: bool = False,
    ) -> None:
        super().__init__()
        self.kind, self.kernel, self.stride, self.counts_padding = kind, kernel, stride, counts_padding
        self.border = (before, after, before, after)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the pooled (B, C, H, W) feature map."""
        outside = -torch.inf if self.kind == "max" else 0.0
        padded = functional.pad(images_BCHW, self.border, value=outside) if any(self.border) else images_BCHW
        if self.kind == "max":
            return functional.max_pool2d(padded, self.kernel, self.stride)
        mean = functional.avg_pool2d(padded, self.kernel, self.stride)
        if self.counts_padding or not any(self.border):
            return mean
        inside_11HW = functional.pad(images_BCHW.new_ones((1, 1, *images_BCHW.shape[2:])), self.border)
        return mean / functional.avg_pool2d(inside_11HW, self.kernel, self.stride)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.kind}, kernel={self.kernel}, stride={self.stride}, border={self.border}"


class BlurPool2d(nn.Module):
    """A binomial filter over every channel, with the feature map mirrored at its border (Zhang 2019)."""

    weight: Tensor

    def __init__(self, kernel: int, stride: int, *, before: int, after: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.border = (before, after, before, after)
        taps = torch.tensor([comb(kernel - 1, tap) / 2 ** (kernel - 1) for tap in range(kernel)])
        self.register_buffer("weight", (taps[:, None] * taps)[None, None], persistent=False)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the filtered (B, C, H, W) feature map."""
        channels = images_BCHW.shape[1]
        padded = functional.pad(images_BCHW, self.border, mode="reflect")
        weight = self.weight.expand(channels, 1, self.kernel, self.kernel)
        return functional.conv2d(padded, weight, stride=self.stride, groups=channels)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"kernel={self.kernel}, stride={self.stride}, border={self.border}"


class GlobalPool2d(nn.Module):
    """The average or the maximum of every channel: (B, C, H, W) to (B, C, 1, 1)."""

    def __init__(self, kind: Literal["max", "average"]) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, C, 1, 1) values, one per channel."""
        if self.kind == "max":
            return images_BCHW.amax((2, 3), keepdim=True)
        return images_BCHW.mean((2, 3), keepdim=True)

    def extra_repr(self) -> str:
        """Return the kind."""
        return self.kind


class MapLinear(nn.Linear):
    """A dense layer over a flattened feature map: (B, C, H, W) to (B, K, 1, 1)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Linear gives it
        """Return the (B, K, 1, 1) outputs."""
        return super().forward(input.flatten(1))[:, :, None, None]


class Branches(nn.Module):
    """Named branches over the same feature map: added, averaged, concatenated along channels, or multiplied."""

    def __init__(self, branches: Mapping[str, nn.Module], combine: Combine, *, pairs: bool = False) -> None:
        """Hold `branches`; with `pairs`, a concatenation keeps pairs of channels."""
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)
        self.combine, self.pairs = combine, pairs

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the merged (B, C, H, W) feature map."""
        return self.merged([branch(images_BCHW) for branch in self.children()])

    def merged(self, maps: list[Tensor]) -> Tensor:
        """Return the (B, C, H, W) merge of `maps`, the outputs of the branches."""
        if self.combine == "concat":
            return concat_pairs(maps) if self.pairs else torch.cat(maps, dim=1)
        merged = maps[0]
        for one in maps[1:]:
            merged = merged * one if self.combine == "multiply" else self.added(merged, one)
        return merged / len(maps) if self.combine == "mean" else merged

    def added(self, one_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        """Return the sum of two feature maps."""
        return one_BCHW + other_BCHW

    def extra_repr(self) -> str:
        """Return how the branches are merged."""
        return self.combine


class Network(nn.Module):
    """A whole network of named parts: (B, C, H, W) images to (B, K) logits."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, K) logits of normalised images."""
        for part in self.children():
            images_BCHW = part(images_BCHW)
        return images_BCHW.flatten(1)
