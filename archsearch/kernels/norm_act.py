"""Normalisation and activation by the kernels, as functions of tensors that autograd knows; imports torch only.

Legend: B batch, C channels, H height, W width. Maps are float32 on the CPU, channels last in memory.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from archsearch.kernels.library import Kernels, laid_out

NONE: Final = 0
RELU: Final = 1
SILU: Final = 2
HARDSWISH: Final = 3
RELU6: Final = 4
KINDS: Final[dict[type[nn.Module], int]] = {
    nn.ReLU: RELU,
    nn.SiLU: SILU,
    nn.Hardswish: HARDSWISH,
    nn.ReLU6: RELU6,
}


def norm_act(images_BCHW: Tensor, norm: nn.BatchNorm2d, kind: int, kernels: Kernels) -> Tensor:
    """Return act(batch norm of the map), as `norm` does it in training: its running statistics are moved.

    `kind` is NONE or one of `KINDS`; `kernels.lanes` divides C. `norm` has weights, statistics and a momentum, of C
    channels or of fewer: those behind them are zeros and stay so.
    """
    result: Tensor = _NormAct.apply(images_BCHW, norm.weight, norm.bias, norm, kind, kernels)
    return result


def scale_act(images_BCHW: Tensor, scale_C: Tensor, offset_C: Tensor, kind: int, kernels: Kernels) -> Tensor:
    """Return act(images * scale + offset), without a gradient."""
    images_BCHW = laid_out(images_BCHW)
    scaled = torch.empty_like(images_BCHW)
    kernels("scale_act", images_BCHW, scale_C, offset_C, scaled, *_rows(images_BCHW), kind)
    return scaled


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
    """Return the pixels of all images, and the channels."""
    channels = images_BCHW.shape[1]
    return images_BCHW.numel() // channels, channels
