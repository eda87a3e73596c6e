"""A step of Muon by one kernel, which takes as many weights at a time as there are threads; imports torch only."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from archsearch.kernels.library import Kernels


def muon_step(
    weights: Sequence[Tensor], momenta: Sequence[Tensor], *, momentum: float, rates: Sequence[float], kernels: Kernels
) -> list[Tensor]:
    """Move `weights` by their momenta made orthogonal, times their `rates`; return the momenta, moved by the gradients.

    Each weight is a matrix of one row per filter, of float32 on the CPU. A momentum that lies in memory as its weight
    does is moved in place.
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
    """Return `other` in the order of memory that `weight` has, in which a kernel takes its columns."""
    return other if other.stride() == weight.stride() else torch.empty_like(weight).copy_(other)
