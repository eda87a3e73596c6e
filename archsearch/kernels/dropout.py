"""Dropout by a kernel, as a function of tensors that autograd knows; imports torch only.

On a CPU torch draws a number for each value one after the other, which takes longer than the convolutions beside it.
Here a step draws one seed from torch's generator, and a value's number is a hash of that and of its place.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from archsearch.kernels.library import Kernels, laid_out

_WHOLE = 1 << 32  # of which a rate is a part


def dropout(images_BCHW: Tensor, rate: float, kernels: Kernels) -> Tensor:
    """Return the map with each value dropped with probability `rate`, above 0 and below 1, the others scaled up.

    `kernels.lanes` divides C (Srivastava et al., JMLR 2014).
    """
    seed = torch.empty((), dtype=torch.int64).random_()
    result: Tensor = _Dropout.apply(images_BCHW, seed, min(round(rate * _WHOLE), _WHOLE - 1), kernels)
    return result


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
