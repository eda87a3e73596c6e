"""Weights by the kernels: filters in mirrored pairs, as a differentiable function, and a step of Muon.

Imports torch only.
Legend: K filters and C channels of one half, T kernel size.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from archsearch.kernels.library import Kernels, laid_out


def muon_step(
    weights: Sequence[Tensor], momenta: Sequence[Tensor], *, momentum: float, rates: Sequence[float], kernels: Kernels
) -> list[Tensor]:
    """Take a step of Muon with the gradients of `weights` and the given `rates`; return the updated momenta.

    Each weight has a gradient, is float32 on the CPU, and counts as a matrix with one row per filter. A momentum with
    the memory layout of its weight is updated in place.
    """
    gradients = [_laid_out_as(weight, weight.grad) for weight in weights if weight.grad is not None]
    moved = [_laid_out_as(weight, one) for weight, one in zip(weights, momenta, strict=True)]
    given: list[int] = []
    for weight, gradient, one in zip(weights, gradients, moved, strict=True):
        rows = len(weight)
        given += [weight.data_ptr(), gradient.data_ptr(), one.data_ptr(), rows, weight.numel() // rows]
    kernels("muon_step", torch.tensor([momentum, *rates]), (ctypes.c_long * len(given))(*given), len(weights))
    return moved


def _laid_out_as(weight: Tensor, other: Tensor) -> Tensor:
    """Return `other` in the memory layout of `weight`, which defines the order of the columns for the kernel."""
    return other if other.stride() == weight.stride() else torch.empty_like(weight).copy_(other)


def whole_pairs(even_KCTT: Tensor, odd_KCTT: Tensor, kernels: Kernels) -> Tensor:
    """Return the float32 (2 K, 2 C, T, T) weights of two halves, in the memory layout that the convolutions read.

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
