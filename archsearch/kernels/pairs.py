"""Whole weights of filters in mirrored pairs by the kernels, as a function that autograd knows; imports torch only.

Legend: K filters and C channels of a half, T taps across.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from archsearch.kernels.library import Kernels, laid_out


def whole_pairs(even_KCTT: Tensor, odd_KCTT: Tensor, kernels: Kernels) -> Tensor:
    """Return the (2 K, 2 C, T, T) weights of two halves in float32, in the order of memory that convolutions take.

    The first K filters are [s, m(d)] and the others [d, m(s)] over the two halves of the channels, with
    s = (even + odd) / sqrt(2), d = (even - odd) / sqrt(2) and m mirroring left to right.
    """
    result: Tensor = _Whole.apply(even_KCTT, odd_KCTT, kernels)
    return result


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, even_KCTT: Tensor, odd_KCTT: Tensor, kernels: Kernels) -> Tensor:
        filters, channels, taps = even_KCTT.shape[:3]
        ctx.sizes, ctx.kernels = (filters, channels, taps), kernels
        whole = even_KCTT.new_empty((taps, taps, 2 * channels, 2 * filters))
        kernels("pairs_whole", laid_out(even_KCTT), laid_out(odd_KCTT), whole, *ctx.sizes)
        return whole.permute(3, 2, 0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        filters, channels, taps = ctx.sizes
        even_KTTC, odd_KTTC = (gradient.new_empty((filters, taps, taps, channels)) for _ in range(2))
        ctx.kernels("pairs_halves", gradient.permute(2, 3, 1, 0).contiguous(), even_KTTC, odd_KTTC, *ctx.sizes)
        return even_KTTC.permute(0, 3, 1, 2), odd_KTTC.permute(0, 3, 1, 2), None
