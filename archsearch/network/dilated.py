"""Depthwise convolutions with gaps between their taps, on a CPU computed without the gaps; imports torch only.

torch's CPU backward of a dilated depthwise convolution is a plain loop, several times slower than that without gaps
(docs/training.md has the measurement). Rows and columns that are `dilation` apart never meet those between them, so the
map falls into dilation x dilation maps that do not touch; over these the same convolution has no gaps (Chen et al.,
DeepLab, TPAMI 2018, section 3.1, describe the same). Only the order of the additions differs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class DilatedDepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution of stride 1 and odd kernel that keeps the map's size; weights as nn.Conv2d has them."""

    is_conv2d = True  # the kernels may compute it as what it stands for

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Conv2d gives it
        """Return the (B, C, H, W) map convolved."""
        gap = self.dilation[0]
        height, width = input.shape[2:]
        # An exported program keeps the one convolution that every runtime knows.
        splits = height % gap == 0 and width % gap == 0 and not torch.compiler.is_exporting()
        if input.device.type != "cpu" or not splits or not torch.is_grad_enabled():
            return super().forward(input)
        parts = split_map(input, gap)
        parts = functional.conv2d(parts, self.weight, self.bias, padding=self.kernel_size[0] // 2, groups=self.groups)
        return join_map(parts, gap)


def split_map(images_BCHW: Tensor, gap: int) -> Tensor:
    """Return the (B x gap x gap, C, H / gap, W / gap) maps of every gap-th row and column."""
    batch, channels, height, width = images_BCHW.shape
    grid = images_BCHW.permute(0, 2, 3, 1).reshape(batch, height // gap, gap, width // gap, gap, channels)
    parts = grid.permute(0, 2, 4, 1, 3, 5).reshape(batch * gap * gap, height // gap, width // gap, channels)
    return parts.permute(0, 3, 1, 2)


def join_map(parts: Tensor, gap: int) -> Tensor:
    """Return the (B, C, H, W) maps that `split_map` has split, in channels-last memory."""
    count, channels, height, width = parts.shape
    grid = parts.permute(0, 2, 3, 1).reshape(count // gap**2, gap, gap, height, width, channels)
    whole = grid.permute(0, 3, 1, 4, 2, 5).reshape(count // gap**2, height * gap, width * gap, channels)
    return whole.permute(0, 3, 1, 2)
