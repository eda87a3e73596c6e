"""Normalisation and activation by the kernels, as functions of tensors that autograd knows; imports torch only.

Legend: B batch, C channels, H height, W width. Maps are float32 on the CPU, channels last in memory.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from archsearch.kernels.library import Kernels, laid_out

NONE: Final = 0
RELU: Final = 1
SILU: Final = 2
HARDSWISH: Final = 3
KINDS: Final[dict[type[nn.Module], int]] = {nn.ReLU: RELU, nn.SiLU: SILU, nn.Hardswish: HARDSWISH}


def norm_act(
    images_BCHW: Tensor, weight_C: Tensor, bias_C: Tensor, epsilon: float, kind: int, kernels: Kernels
) -> tuple[Tensor, Tensor, Tensor]:
    """Return act(batch norm of the map), and the mean and the biased variance of each of its channels.

    `kind` is NONE, RELU, SILU or HARDSWISH; `kernels.lanes` divides C. Mean and variance carry no gradient.
    """
    result: tuple[Tensor, Tensor, Tensor] = _NormAct.apply(images_BCHW, weight_C, bias_C, epsilon, kind, kernels)
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
        ctx: Any, images_BCHW: Tensor, weight_C: Tensor, bias_C: Tensor, epsilon: float, kind: int, kernels: Kernels
    ) -> tuple[Tensor, Tensor, Tensor]:
        images_BCHW = laid_out(images_BCHW)
        mean_C, variance_C = torch.empty_like(weight_C), torch.empty_like(weight_C)
        kernels("channel_moments", images_BCHW, mean_C, variance_C, *_rows(images_BCHW))
        inverse_C = (variance_C + epsilon).rsqrt()
        scale_C = weight_C * inverse_C
        offset_C = bias_C - mean_C * scale_C
        ctx.save_for_backward(images_BCHW, scale_C, offset_C, mean_C, inverse_C)
        ctx.kind, ctx.kernels = kind, kernels
        ctx.mark_non_differentiable(mean_C, variance_C)
        return scale_act(images_BCHW, scale_C, offset_C, kind, kernels), mean_C, variance_C

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BCHW: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        images_BCHW, scale_C, offset_C, mean_C, inverse_C = ctx.saved_tensors
        images, weight_C, bias_C = torch.empty_like(images_BCHW), torch.empty_like(scale_C), torch.empty_like(scale_C)
        given = (images_BCHW, laid_out(gradient_BCHW), scale_C, offset_C, mean_C, inverse_C)
        ctx.kernels("norm_act_backward", *given, images, weight_C, bias_C, *_rows(images_BCHW), ctx.kind)
        return images, weight_C, bias_C, None, None, None


def _rows(images_BCHW: Tensor) -> tuple[int, int]:
    """Return the pixels of all images, and the channels."""
    channels = images_BCHW.shape[1]
    return images_BCHW.numel() // channels, channels
