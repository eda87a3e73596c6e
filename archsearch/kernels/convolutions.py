"""Convolutions by the kernels, as differentiable functions of tensors; imports torch only.

Legend: B batch, C channels in, K channels out, H height, W width, T kernel (rows and columns of taps). Feature maps are
float32 or bfloat16 on the CPU, channels last in memory; weights are float32. `kernels.lanes` divides C and K, except as
noted. All functions raise `MemoryError`.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from archsearch.kernels.library import Kernels, laid_out

_BLOCK_BYTES = 640 * 1024  # limit for the transformed tiles of a block: about the size of a core's L2 cache
_PATCH_BYTES = 128 * 1024  # limit for the patches of a block: the weights share the cache with them
_POINTS = 36
_Gradients = tuple[Tensor | None, ...]


def winograd_conv(images_BCHW: Tensor, weight_KCTT: Tensor, gap: int, kernels: Kernels) -> Tensor:
    """Return the (B, K, H, W) output of a convolution with stride 1, dilation `gap` and padding that keeps the size.

    T is 3 or 5, and `gap` divides H and W.
    """
    result: Tensor = _Winograd.apply(images_BCHW, weight_KCTT, gap, kernels)
    return result


def patches_conv(
    images_BCHW: Tensor, weight_KCTT: Tensor, *, stride: int, padding: int, dilation: int, kernels: Kernels
) -> Tensor:
    """Return the (B, K, H', W') output of a dense convolution; any C works if `images_BCHW` needs no gradient."""
    result: Tensor = _Patches.apply(images_BCHW, weight_KCTT, (stride, dilation, padding), kernels)
    return result


def images_conv(
    images_BCHW: Tensor, weight_KCTT: Tensor, *, stride: int, padding: int, kept: torch.dtype, kernels: Kernels
) -> Tensor:
    """Return the (B, K, H', W') output, in the dtype `kept`, of a dense convolution with few input channels.

    The dilation is 1. `images_BCHW` is float32 and gets no gradient; any C is possible.
    """
    result: Tensor = _Images.apply(images_BCHW, weight_KCTT, (stride, padding), kept, kernels)
    return result


def depthwise_conv(
    images_BCHW: Tensor, weight_C1TT: Tensor, *, stride: int, padding: int, dilation: int, kernels: Kernels
) -> Tensor:
    """Return the (B, C, H', W') output of a depthwise convolution; T is at most 7."""
    result: Tensor = _Depthwise.apply(images_BCHW, weight_C1TT, (stride, dilation, padding), kernels)
    return result


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images_BCHW: Tensor, weight_KCTT: Tensor, gap: int, kernels: Kernels) -> Tensor:
        images_BCHW = laid_out(images_BCHW)
        ctx.save_for_backward(images_BCHW, weight_KCTT)
        ctx.gap, ctx.kernels = gap, kernels
        return _filtered(images_BCHW, weight_KCTT.permute(2, 3, 1, 0), gap, kernels, turned=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BKHW: Tensor) -> _Gradients:  # pyright: ignore[reportIncompatibleMethodOverride]
        images_BCHW, weight_KCTT = ctx.saved_tensors
        gradient_BKHW = laid_out(gradient_BKHW)
        images: Tensor | None = None
        weight: Tensor | None = None
        if ctx.needs_input_grad[0]:
            images = _filtered(gradient_BKHW, weight_KCTT.permute(2, 3, 0, 1), ctx.gap, ctx.kernels, turned=True)
        if ctx.needs_input_grad[1]:
            filters, channels, kernel = weight_KCTT.shape[:3]
            batch, _, height, width = images_BCHW.shape
            weight_TTCK = weight_KCTT.new_empty(kernel, kernel, channels, filters)
            sizes = (batch, height, width, kernel, ctx.gap, channels, filters)
            ctx.kernels("winograd_weights", images_BCHW, gradient_BKHW, weight_TTCK, *sizes, _tiles(channels, filters))
            weight = weight_TTCK.permute(3, 2, 0, 1)
        return images, weight, None, None


def _filtered(images_BCHW: Tensor, weight_TTCK: Tensor, gap: int, kernels: Kernels, *, turned: bool) -> Tensor:
    batch, _, height, width = images_BCHW.shape
    kernel, _, channels, filters = weight_TTCK.shape
    result = _new_map(images_BCHW, filters, height, width)
    sizes = (batch, height, width, kernel, gap, channels, filters, int(turned), _tiles(channels, filters))
    kernels("winograd_forward", images_BCHW, weight_TTCK.contiguous(), result, *sizes)
    return result


class _Patches(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images_BCHW: Tensor, weight_KCTT: Tensor, how: tuple[int, int, int], kernels: Kernels
    ) -> Tensor:
        images_BCHW = laid_out(images_BCHW)
        filters, channels, kernel = weight_KCTT.shape[:3]
        tall, wide = _result_size(images_BCHW, kernel, how)
        sizes = (*_image_sizes(images_BCHW), channels, filters, kernel, *how, tall, wide)
        ctx.save_for_backward(images_BCHW, weight_KCTT)
        ctx.sizes, ctx.kernels = (ctypes.c_long * len(sizes))(*sizes), kernels
        ctx.block = _pixels(channels * kernel * kernel)
        result = _new_map(images_BCHW, filters, tall, wide)
        weight_TTCK = weight_KCTT.permute(2, 3, 1, 0).contiguous()
        kernels("patches_forward", images_BCHW, weight_TTCK, result, ctx.sizes, ctx.block)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BKHW: Tensor) -> _Gradients:  # pyright: ignore[reportIncompatibleMethodOverride]
        images_BCHW, weight_KCTT = ctx.saved_tensors
        gradient_BKHW = laid_out(gradient_BKHW)
        images: Tensor | None = None
        weight: Tensor | None = None
        if ctx.needs_input_grad[0]:
            images, weight_KTTC = torch.empty_like(images_BCHW), weight_KCTT.permute(0, 2, 3, 1).contiguous()
            ctx.kernels("patches_images", gradient_BKHW, weight_KTTC, images, ctx.sizes, ctx.block)
        if ctx.needs_input_grad[1]:
            filters, channels, kernel = weight_KCTT.shape[:3]
            weight_TTCK = weight_KCTT.new_empty(kernel, kernel, channels, filters)
            ctx.kernels("patches_weights", images_BCHW, gradient_BKHW, weight_TTCK, ctx.sizes, ctx.block)
            weight = weight_TTCK.permute(3, 2, 0, 1)
        return images, weight, None, None


class _Images(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images_BCHW: Tensor, weight_KCTT: Tensor, how: tuple[int, int], kept: torch.dtype, kernels: Kernels
    ) -> Tensor:
        images_BCHW = laid_out(images_BCHW)
        filters, channels, kernel = weight_KCTT.shape[:3]
        stride, padding = how
        tall, wide = _result_size(images_BCHW, kernel, (stride, 1, padding))
        sizes = (*_image_sizes(images_BCHW), channels, filters, kernel, stride, padding, tall, wide)
        ctx.save_for_backward(images_BCHW)
        ctx.sizes, ctx.kernels = (ctypes.c_long * len(sizes))(*sizes), kernels
        result = _new_map(images_BCHW, filters, tall, wide, kept)
        kernels("images_forward", result, images_BCHW, weight_KCTT.permute(2, 3, 1, 0).contiguous(), ctx.sizes)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BKHW: Tensor) -> _Gradients:  # pyright: ignore[reportIncompatibleMethodOverride]
        (images_BCHW,) = ctx.saved_tensors
        _, _, _, channels, filters, kernel, *_ = ctx.sizes
        weight_TTCK = images_BCHW.new_empty(kernel, kernel, channels, filters)
        ctx.kernels("images_weights", laid_out(gradient_BKHW), images_BCHW, weight_TTCK, ctx.sizes)
        return None, weight_TTCK.permute(3, 2, 0, 1), None, None, None


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images_BCHW: Tensor, weight_C1TT: Tensor, how: tuple[int, int, int], kernels: Kernels
    ) -> Tensor:
        images_BCHW = laid_out(images_BCHW)
        channels, _, kernel = weight_C1TT.shape[:3]
        tall, wide = _result_size(images_BCHW, kernel, how)
        sizes = (*_image_sizes(images_BCHW), channels, kernel, *how, tall, wide)
        weight_TTC = weight_C1TT[:, 0].permute(1, 2, 0).contiguous()
        ctx.save_for_backward(images_BCHW, weight_TTC)
        ctx.sizes, ctx.kernels = (ctypes.c_long * len(sizes))(*sizes), kernels
        result = _new_map(images_BCHW, channels, tall, wide)
        kernels("depthwise_forward", images_BCHW, weight_TTC, result, ctx.sizes, 0)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BCHW: Tensor) -> _Gradients:  # pyright: ignore[reportIncompatibleMethodOverride]
        images_BCHW, weight_TTC = ctx.saved_tensors
        gradient_BCHW = laid_out(gradient_BCHW)
        images: Tensor | None = None
        weight: Tensor | None = None
        if ctx.needs_input_grad[0]:
            images = _depthwise_images(gradient_BCHW, weight_TTC, images_BCHW, ctx.sizes, ctx.kernels)
        if ctx.needs_input_grad[1]:
            fresh_TTC = torch.empty_like(weight_TTC)
            ctx.kernels("depthwise_weights", images_BCHW, gradient_BCHW, fresh_TTC, ctx.sizes)
            weight = fresh_TTC.permute(2, 0, 1).unsqueeze(1)
        return images, weight, None, None


def _depthwise_images(
    gradient_BCHW: Tensor, weight_TTC: Tensor, like_BCHW: Tensor, sizes: ctypes.Array[ctypes.c_long], kernels: Kernels
) -> Tensor:
    """Return the gradient of the images: at stride 1, the same convolution with weights rotated by 180 degrees."""
    images = torch.empty_like(like_BCHW)
    batch, height, width, channels, kernel, stride, dilation, padding, tall, wide = sizes
    if stride > 1:
        kernels("depthwise_images", gradient_BCHW, weight_TTC, images, sizes)
        return images
    before = dilation * (kernel - 1) - padding
    back = (batch, tall, wide, channels, kernel, 1, dilation, before, height, width)
    kernels("depthwise_forward", gradient_BCHW, weight_TTC, images, (ctypes.c_long * len(back))(*back), 1)
    return images


def _new_map(like: Tensor, channels: int, height: int, width: int, kept: torch.dtype | None = None) -> Tensor:
    return like.new_empty((like.shape[0], height, width, channels), dtype=kept).permute(0, 3, 1, 2)


def _image_sizes(images_BCHW: Tensor) -> tuple[int, int, int]:
    batch, _, height, width = images_BCHW.shape
    return batch, height, width


def _result_size(images_BCHW: Tensor, kernel: int, how: tuple[int, int, int]) -> tuple[int, int]:
    stride, dilation, padding = how
    span = dilation * (kernel - 1) + 1
    height, width = ((size + 2 * padding - span) // stride + 1 for size in images_BCHW.shape[2:])
    return height, width


def _tiles(channels: int, filters: int) -> int:
    """Return how many tiles a block has: a multiple of six, as the matrix products take rows."""
    return _sixes(_BLOCK_BYTES // (4 * _POINTS * (channels + filters)))


def _pixels(values: int) -> int:
    """Return how many patches of `values` values a block has."""
    return _sixes(_PATCH_BYTES // (4 * values))


def _sixes(count: int) -> int:
    return min(96, max(6, count // 6 * 6))
