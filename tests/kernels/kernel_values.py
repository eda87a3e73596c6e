"""Maps with known numbers, how far two of them are apart, and the kernels that take them."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.kernels import Kernels


def normal(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


def apart(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference as a share of the largest expected value."""
    assert found.shape == expected.shape
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def taking(kernels: Kernels, *channels: int) -> Kernels:
    """Return those of `kernels` that take so many channels."""
    found = kernels.of(*channels)
    assert found is not None
    return found
