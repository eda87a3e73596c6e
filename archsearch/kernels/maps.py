"""Norms with activations, sums, averages and dropout by the kernels, as differentiable functions of feature maps.

Imports torch only. Legend: B batch, C channels, H height, W width. Feature maps are on the CPU; `kernels.lanes` divides
C.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from archsearch.kernels.library import Kernels, laid_out

NONE, RELU, SILU, HARDSWISH, RELU6 = range(5)  # the same as in norm_act.c
KINDS: Final[dict[type[nn.Module], int]] = {nn.ReLU: RELU, nn.SiLU: SILU, nn.Hardswish: HARDSWISH, nn.ReLU6: RELU6}
_WHOLE: Final = 1 << 32  # the fixed-point number of a dropout rate of 1


def norm_act(images_BCHW: Tensor, norm: nn.BatchNorm2d, kind: int, kernels: Kernels) -> Tensor:
    """Return act(norm(images)) in training mode, and update the running statistics of `norm`.

    `kind` is NONE or one of `KINDS`. `norm` has weights, running statistics and a momentum. It may have fewer than C
    channels: the channels after its own are zeros and stay zeros.
    """
    result: Tensor = _NormAct.apply(images_BCHW, norm.weight, norm.bias, norm, kind, kernels)
    return result


def scale_act(images_BCHW: Tensor, scale_C: Tensor, offset_C: Tensor, kind: int, kernels: Kernels) -> Tensor:
    """Return act(images * scale + offset), without a gradient."""
    images_BCHW = laid_out(images_BCHW)
    scaled = torch.empty_like(images_BCHW)
    kernels("scale_act", images_BCHW, scale_C, offset_C, scaled, *_rows(images_BCHW), kind)
    return scaled


def add_maps(one_BCHW: Tensor, other_BCHW: Tensor, kernels: Kernels) -> Tensor:
    """Return the sum of two feature maps of the same shape and dtype."""
    result: Tensor = _Add.apply(one_BCHW, other_BCHW, kernels)
    return result


def share_map(images_BCHW: Tensor, count: int, kernels: Kernels) -> tuple[Tensor, ...]:
    """Return `count` views of the feature map for `count` branches, whose gradients the kernels add."""
    result: tuple[Tensor, ...] = _Share.apply(images_BCHW, count, kernels)
    return result


def global_average(images_BCHW: Tensor, kernels: Kernels) -> Tensor:
    """Return the (B, C, 1, 1) means over the pixels, in float32."""
    result: Tensor = _Average.apply(images_BCHW, kernels)
    return result


def dropout(images_BCHW: Tensor, rate: float, kernels: Kernels) -> Tensor:
    """Return `images_BCHW` with each value dropped with probability `rate` (0 < rate < 1), and the others scaled up.

    See Srivastava et al., JMLR 2014. On a CPU torch draws the random numbers one after the other, which takes longer
    than the convolutions of the network. Here a call draws one seed from torch's generator, and the random number of a
    value is a hash of the seed and the value's position.
    """
    seed = torch.empty((), dtype=torch.int64).random_()
    result: Tensor = _Dropout.apply(images_BCHW, seed, min(round(rate * _WHOLE), _WHOLE - 1), kernels)
    return result


def _sum(one_BCHW: Tensor, other_BCHW: Tensor, kernels: Kernels) -> Tensor:
    one_BCHW, other_BCHW = laid_out(one_BCHW), laid_out(other_BCHW)
    total = torch.empty_like(one_BCHW)
    kernels("add_maps", one_BCHW, other_BCHW, total, total.numel())
    return total


class _Add(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, one_BCHW: Tensor, other_BCHW: Tensor, kernels: Kernels) -> Tensor:
        return _sum(one_BCHW, other_BCHW, kernels)

    @staticmethod
    @once_differentiable
    def backward(_: Any, gradient_BCHW: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient_BCHW, gradient_BCHW, None


class _Share(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images_BCHW: Tensor, count: int, kernels: Kernels) -> tuple[Tensor, ...]:
        ctx.kernels = kernels
        return tuple(images_BCHW.view_as(images_BCHW) for _ in range(count))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients_BCHW: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        total, *others = gradients_BCHW
        for one in others:
            total = _sum(total, one, ctx.kernels)
        return total, None, None


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images_BCHW: Tensor, kernels: Kernels) -> Tensor:
        images_BCHW = laid_out(images_BCHW)
        batch, channels, height, width = images_BCHW.shape
        ctx.shape, ctx.dtype, ctx.kernels = images_BCHW.shape, images_BCHW.dtype, kernels
        mean_BC11 = images_BCHW.new_empty((batch, channels, 1, 1), dtype=torch.float32)
        kernels("average_pixels", images_BCHW, mean_BC11, batch, height * width, channels)
        return mean_BC11

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BC11: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        batch, channels, height, width = ctx.shape
        spread = torch.empty(ctx.shape, dtype=ctx.dtype, memory_format=torch.channels_last)
        ctx.kernels("spread_average", spread, gradient_BC11.contiguous(), batch, height * width, channels)
        return spread, None


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images_BCHW: Tensor, seed: Tensor, below: int, kernels: Kernels) -> Tensor:
        ctx.save_for_backward(seed)
        ctx.below, ctx.kernels = below, kernels
        return _dropped(images_BCHW, seed, below, kernels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BCHW: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (seed,) = ctx.saved_tensors
        return _dropped(gradient_BCHW, seed, ctx.below, ctx.kernels), None, None, None


def _dropped(values_BCHW: Tensor, seed: Tensor, below: int, kernels: Kernels) -> Tensor:
    values_BCHW = laid_out(values_BCHW)
    result = torch.empty_like(values_BCHW)
    kernels("drop_values", values_BCHW, result, seed, values_BCHW.numel(), below)
    return result


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        images_BCHW: Tensor,
        weight_C: Tensor,
        bias_C: Tensor,
        norm: nn.BatchNorm2d,
        kind: int,
        kernels: Kernels,
    ) -> Tensor:
        images_BCHW = laid_out(images_BCHW)
        found_4C = weight_C.new_empty((4, images_BCHW.shape[1]))
        sizes = (*_rows(images_BCHW), len(weight_C))
        numbers = (ctypes.c_double * 2)(norm.eps, norm.momentum or 0.0)
        running = (norm.running_mean, norm.running_var, norm.num_batches_tracked)
        kernels("norm_statistics", images_BCHW, weight_C, bias_C, *running, numbers, found_4C, *sizes)
        ctx.save_for_backward(images_BCHW, found_4C)
        ctx.kind, ctx.kernels, ctx.known = kind, kernels, len(weight_C)
        return scale_act(images_BCHW, found_4C[2], found_4C[3], kind, kernels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BCHW: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        images_BCHW, found_4C = ctx.saved_tensors
        images = torch.empty_like(images_BCHW)
        weight_C, bias_C = (found_4C.new_empty(found_4C.shape[1]) for _ in range(2))
        given = (images_BCHW, laid_out(gradient_BCHW), found_4C, images, weight_C, bias_C)
        ctx.kernels("norm_act_backward", *given, *_rows(images_BCHW), ctx.kind)
        return images, weight_C[: ctx.known], bias_C[: ctx.known], None, None, None


def _rows(images_BCHW: Tensor) -> tuple[int, int]:
    """Return the number of pixels of all images, and the number of channels."""
    channels = images_BCHW.shape[1]
    return images_BCHW.numel() // channels, channels
