"""`nn.Conv2d` by the kernels: selects the kernel for a convolution and runs it; imports torch only.

A feature map may have more channels than the convolution: channels of zeros after its own.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from archsearch.kernels.convolutions import depthwise_conv, images_conv, patches_conv, winograd_conv
from archsearch.kernels.fitting import VALUE_BY_VALUE, filled, is_map, with_zeros
from archsearch.kernels.library import LEAST_LANES, Kernels
from archsearch.network.modules import DilatedDepthwiseConv2d

_WIDEST = 7  # largest kernel size of the depthwise kernel
_SMALLEST = 3  # px of a side of a feature map: in a smaller one, most of a tile would be padding


def is_known(module: nn.Module, images: Tensor, channels: int) -> TypeGuard[nn.Conv2d]:
    """Return whether `module` is a convolution of a form that the kernels support, for `channels` input channels.

    Its weights may be parametrized. `channels` excludes the channels of zeros of `images`.
    """
    if not isinstance(module, nn.Conv2d):
        return False
    kind = type(module).__base__ if parametrize.is_parametrized(module) else type(module)
    if kind not in (nn.Conv2d, DilatedDepthwiseConv2d):
        return False
    if images.dim() != 4 or channels != module.in_channels:
        return False  # torch raises an error with a message
    (kernel, wide), (gap, gap_across), (stride, stride_across) = module.kernel_size, module.dilation, module.stride
    square = kernel == wide and gap == gap_across and stride == stride_across
    if not square or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return False
    return module.padding[0] == module.padding[1]


def room_of(module: nn.Conv2d, following: nn.Module | None) -> int:
    """Return the number of channels that `module` outputs: padded with zeros if the next module keeps zeros."""
    keeps = type(following) is nn.BatchNorm2d or isinstance(following, (nn.Conv2d, *VALUE_BY_VALUE))
    return filled(module.out_channels) if keeps else module.out_channels


def computing(module: nn.Conv2d, images: Tensor, room: int, kept: torch.dtype, kernels: Kernels) -> Kernels | None:
    """Return the variant of `kernels` that computes `module`, of a known form, or None if torch computes it."""
    own = kernels.of(room)
    if own is not None and _is_of_images(module, images, own):
        return own
    takes = is_map(images) and _takes_map(module, images, kernels.tiles and kept == torch.bfloat16)
    return kernels.of(filled(images.shape[1]), room) if takes else None


def convolve(module: nn.Conv2d, images: Tensor, room: int, kept: torch.dtype, kernels: Kernels) -> Tensor:
    """Return the output of `module` with `room` channels and dtype `kept`; `kernels` come from `computing`."""
    assert not isinstance(module.padding, str)
    how, gap = {"stride": module.stride[0], "padding": module.padding[0]}, module.dilation[0]
    if _is_of_images(module, images, kernels):
        weight = _widened(module.weight, room, module.in_channels)
        convolved = images_conv(images, weight, **how, kept=kept, kernels=kernels)
    elif module.groups > 1:
        times = module.out_channels // module.in_channels
        copies = _repeated(images.to(kept), times, room)
        convolved = depthwise_conv(copies, _widened(module.weight, room, 1), **how, dilation=gap, kernels=kernels)
    else:
        images = with_zeros(images.to(kept), filled(images.shape[1]))
        weight = _widened(module.weight, room, images.shape[1])
        if _is_winograd(module, images):
            convolved = winograd_conv(images, weight, gap, kernels)
        else:
            convolved = patches_conv(images, weight, **how, dilation=gap, kernels=kernels)
    if module.bias is None:
        return convolved
    return convolved + with_zeros(module.bias, room, dim=0).view(1, -1, 1, 1)


def _widened(weight: Tensor, filters: int, channels: int) -> Tensor:
    """Return the weight padded with zeros to `filters` filters of `channels` channels."""
    return with_zeros(with_zeros(weight, channels), filters, dim=0)


def _repeated(images: Tensor, times: int, room: int) -> Tensor:
    """Return `images` with every channel repeated `times` times in a row, for a depthwise channel multiplier."""
    if times > 1:
        images = images.permute(0, 2, 3, 1).unsqueeze(4).expand(*(-1,) * 4, times).flatten(3).permute(0, 3, 1, 2)
    return with_zeros(images, room)


def _takes_map(module: nn.Conv2d, images: Tensor, by_tiles: bool) -> bool:
    """Return whether a kernel computes `module` at least as fast as torch; `by_tiles`, any dense convolution."""
    kernel = module.kernel_size[0]
    if module.groups == module.in_channels > 1:
        times, behind = module.out_channels // module.in_channels, images.shape[1] - module.in_channels
        return kernel <= _WIDEST and (times == 1 or behind == 0)
    steps = kernel == 1 or module.stride[0] > 1
    return module.groups == 1 and (by_tiles or steps or _is_winograd(module, images))


def _is_of_images(module: nn.Conv2d, images: Tensor, kernels: Kernels) -> bool:
    """Return whether `module` convolves images: float32 with fewer channels than lanes, and without a gradient."""
    few = module.in_channels == images.shape[1] < kernels.lanes and module.in_channels % LEAST_LANES > 0
    plain = is_map(images) and images.dtype == torch.float32 and not images.requires_grad
    return few and plain and module.groups == 1 and module.dilation[0] == 1


def _is_winograd(module: nn.Conv2d, images: Tensor) -> bool:
    """Return whether a convolution suits Winograd's filtering: 3x3 or 5x5, stride 1, and output of the input's size."""
    kernel, gap = module.kernel_size[0], module.dilation[0]
    keeps = module.stride[0] == 1 and module.padding[0] == gap * (kernel // 2)
    return kernel in (3, 5) and keeps and all(size % gap == 0 and size // gap >= _SMALLEST for size in images.shape[2:])
