"""The torch modules that torch itself lacks: uneven padding, maps that stay four-dimensional, branches.

Legend: B batch, C channels, H height, W width, K classes. Imports torch only: not the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.kernels import Equipped, add_maps, fitting, global_average, share_map, suited, usable
from archsearch.network.symmetry import concat_pairs


class UnevenConv2d(nn.Conv2d):
    """A convolution with `before` zeros above and left of the map and `after` below and right of it."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        before: int,
        after: int,
        stride: int,
        dilation: int,
        groups: int,
        bias: bool,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, groups=groups, bias=bias
        )
        self.border = (before, after, before, after)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Conv2d gives it
        """Return the (B, C, H, W) map convolved."""
        return super().forward(functional.pad(input, self.border))

    def extra_repr(self) -> str:
        """Return nn.Conv2d's own line with the border."""
        return f"{super().extra_repr()}, border={self.border}"


class PaddedPool2d(nn.Module, Equipped):
    """A pooling window over any padding: padded positions never win a max and do not count in an average."""

    def __init__(self, kind: Literal["max", "average"], kernel: int, stride: int, *, before: int, after: int) -> None:
        super().__init__()
        self.kind, self.kernel, self.stride = kind, kernel, stride
        self.border = (before, after, before, after)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, C, H, W) map pooled."""
        outside = -torch.inf if self.kind == "max" else 0.0
        padded = functional.pad(images_BCHW, self.border, value=outside) if any(self.border) else images_BCHW
        if self.kind == "max":
            return functional.max_pool2d(padded, self.kernel, self.stride)
        mean = functional.avg_pool2d(padded, self.kernel, self.stride)
        if not any(self.border):
            return mean
        inside_11HW = functional.pad(images_BCHW.new_ones((1, 1, *images_BCHW.shape[2:])), self.border)
        return mean / functional.avg_pool2d(inside_11HW, self.kernel, self.stride)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.kind}, kernel={self.kernel}, stride={self.stride}, border={self.border}"


class GlobalPool2d(nn.Module, Equipped):
    """The average or the maximum of every channel's map: (B, C, H, W) to (B, C, 1, 1)."""

    def __init__(self, kind: Literal["max", "average"]) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, C, 1, 1) map of one value a channel."""
        kernels = usable(self.kernels)
        if kernels is None:
            return self._pooled(images_BCHW)
        own = fitting(images_BCHW, kernels) if self.kind == "average" else None
        if own is not None:
            return global_average(images_BCHW, own)
        return self._pooled(images_BCHW.float())

    def _pooled(self, images_BCHW: Tensor) -> Tensor:
        if self.kind == "max":
            return images_BCHW.amax((2, 3), keepdim=True)
        return images_BCHW.mean((2, 3), keepdim=True)

    def extra_repr(self) -> str:
        """Return the kind."""
        return self.kind


class MapLinear(nn.Linear):
    """A dense layer over a flattened map: (B, C, H, W) to (B, K, 1, 1)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Linear gives it
        """Return the (B, K, 1, 1) map."""
        return super().forward(input.flatten(1))[:, :, None, None]


class Branches(nn.Module, Equipped):
    """Branches over the same map, by name: added, concatenated along channels, or multiplied."""

    def __init__(
        self, branches: Mapping[str, nn.Module], combine: Literal["add", "concat", "multiply"], *, pairs: bool = False
    ) -> None:
        """Hold `branches`; with `pairs`, of channels, a concatenation keeps them."""
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)
        self.combine, self.pairs = combine, pairs

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the merged (B, C, H, W) map."""
        branches, kernels = list(self.children()), usable(self.kernels)
        given = (images_BCHW,) * len(branches)
        if kernels is not None:
            own = fitting(images_BCHW, kernels)
            given = given if own is None else share_map(images_BCHW, len(branches), own)
            given = tuple(suited(one, branch) for branch, one in zip(branches, given, strict=True))
        maps = [branch(one) for branch, one in zip(branches, given, strict=True)]
        if self.combine == "concat":
            return concat_pairs(maps) if self.pairs else torch.cat(maps, dim=1)
        merged = maps[0]
        for one in maps[1:]:
            if self.combine == "multiply":
                merged = merged * one
                continue
            alike = (one.shape, one.dtype) == (merged.shape, merged.dtype)
            own = fitting(one, kernels) if kernels is not None and alike else None
            merged = merged + one if own is None else add_maps(merged, one, own)
        return merged

    def extra_repr(self) -> str:
        """Return how the branches are merged."""
        return self.combine


class Network(nn.Module):
    """A whole network, its parts by name: (B, C, H, W) images to (B, K) logits."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, K) logits of normalised images."""
        for part in self.children():
            images_BCHW = part(images_BCHW)
        return images_BCHW.flatten(1)
