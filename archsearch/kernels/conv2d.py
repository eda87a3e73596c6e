"""`nn.Conv2d` by the kernels: which of them compute one over a map, and the map that they make; imports torch only.

Maps may have more channels than the convolution knows, zeros behind its own.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.kernels.convolutions import depthwise_conv, images_conv, patches_conv, winograd_conv
from archsearch.kernels.equip import filled, fitting
from archsearch.kernels.library import Kernels

_WIDEST = 7  # taps in a row that the depthwise kernel takes
_SMALLEST = 3  # px of a map: of a smaller one most of a tile would be padding


def is_known(module: nn.Module, images: Tensor, channels: int) -> TypeGuard[nn.Conv2d]:
    """Return whether `module` is a convolution of a form that the kernels know, or stands for one, over such a map.

    The map has `channels` of its own.
    """
    if not isinstance(module, nn.Conv2d) or (type(module) is not nn.Conv2d and not hasattr(module, "is_conv2d")):
        return False
    if images.dim() != 4 or channels != module.in_channels:
        return False  # torch refuses it, with a message
    (kernel, wide), (gap, gap_across), (stride, stride_across) = module.kernel_size, module.dilation, module.stride
    square = kernel == wide and gap == gap_across and stride == stride_across
    if not square or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return False
    return module.padding[0] == module.padding[1]


def room_of(module: nn.Conv2d, following: nn.Module | None) -> int:
    """Return the channels of the map of `module`: its own and, where a norm follows, which keeps them, zeros."""
    return filled(module.out_channels) if type(following) is nn.BatchNorm2d else module.out_channels


def computing(module: nn.Conv2d, images: Tensor, room: int, kept: torch.dtype, kernels: Kernels) -> Kernels | None:
    """Return those of `kernels` that compute `module`, of a known form, or None where it stays with torch."""
    by_tiles = kernels.tiles and kept == torch.bfloat16
    own = fitting(images, kernels, room) if _takes_map(module, images, by_tiles) else None
    if own is not None or not _takes_images(module, images):
        return own
    own = kernels.of(room)
    return own if own is not None and module.in_channels < own.lanes else None


def convolve(module: nn.Conv2d, images: Tensor, room: int, kept: torch.dtype, kernels: Kernels) -> Tensor:
    """Return the map of `room` channels that `module` makes, in the format `kept`; `computing` has chosen `kernels`."""
    assert not isinstance(module.padding, str)
    how, gap = {"stride": module.stride[0], "padding": module.padding[0]}, module.dilation[0]
    if module.in_channels < kernels.lanes and images.shape[1] == module.in_channels:
        weight = _widened(module.weight, room, module.in_channels)
        convolved = images_conv(images, weight, **how, kept=kept, kernels=kernels)
    elif module.groups > 1:
        weight = _widened(module.weight, room, 1)
        copies = _repeated(images.to(kept), room // images.shape[1])
        convolved = depthwise_conv(copies, weight, **how, dilation=gap, kernels=kernels)
    else:
        weight = _widened(module.weight, room, images.shape[1])
        if _is_winograd(module, images):
            convolved = winograd_conv(images.to(kept), weight, gap, kernels)
        else:
            convolved = patches_conv(images.to(kept), weight, **how, dilation=gap, kernels=kernels)
    if module.bias is None:
        return convolved
    return convolved + F.pad(module.bias, (0, room - len(module.bias))).view(1, -1, 1, 1)


def _widened(weight: Tensor, filters: int, channels: int) -> Tensor:
    """Return the weight with zeros up to so many filters, and channels of each."""
    missing = filters - weight.shape[0], channels - weight.shape[1]
    return F.pad(weight, (0, 0, 0, 0, 0, missing[1], 0, missing[0])) if any(missing) else weight


def _repeated(images: Tensor, times: int) -> Tensor:
    """Return the map with every channel so many times, side by side, as a depthwise convolution multiplies them."""
    if times == 1:
        return images
    return images.permute(0, 2, 3, 1).unsqueeze(4).expand(*(-1,) * 4, times).flatten(3).permute(0, 3, 1, 2)


def _takes_map(module: nn.Conv2d, images: Tensor, by_tiles: bool) -> bool:
    """Return whether a kernel computes `module` as fast as torch does; `by_tiles` any dense one."""
    kernel = module.kernel_size[0]
    if module.groups == module.in_channels > 1:
        fills = module.out_channels == module.in_channels or images.shape[1] == module.in_channels
        return kernel <= _WIDEST and fills
    steps = kernel == 1 or module.stride[0] > 1
    return module.groups == 1 and (by_tiles or steps or _is_winograd(module, images))


def _takes_images(module: nn.Conv2d, images: Tensor) -> bool:
    """Return whether `module` is a convolution of images, which want no gradient; of few channels, less than lanes."""
    if images.requires_grad or images.device.type != "cpu" or images.dtype != torch.float32 or not images.numel():
        return False
    return module.groups == 1 and module.dilation[0] == 1


def _is_winograd(module: nn.Conv2d, images: Tensor) -> bool:
    """Return whether a convolution suits Winograd's filtering: 3x3 or 5x5, stride 1, a map that keeps its size."""
    kernel, gap = module.kernel_size[0], module.dilation[0]
    keeps = module.stride[0] == 1 and module.padding[0] == gap * (kernel // 2)
    return kernel in (3, 5) and keeps and all(size % gap == 0 and size // gap >= _SMALLEST for size in images.shape[2:])
