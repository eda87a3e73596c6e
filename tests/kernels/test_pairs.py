from __future__ import annotations

import pytest
import torch
from kernel_values import apart, normal
from torch import Tensor

from archsearch.kernels import Kernels
from archsearch.kernels.weights import whole_pairs


def whole(even: Tensor, odd: Tensor) -> Tensor:
    """Return the weights of `whole_pairs`, by torch."""
    same, differs = (even + odd) / 2**0.5, (even - odd) / 2**0.5
    return torch.cat([torch.cat([same, differs.flip(3)], 1), torch.cat([differs, same.flip(3)], 1)])


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", [(4, 6, 3, 3), (5, 3, 1, 1), (8, 16, 4, 4)])
def test_whole_weights_and_gradients_are_torchs(
    kernels: Kernels, shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    halves = [normal(*shape).contiguous(memory_format=layout).requires_grad_() for _ in range(2)]
    expected = whole(*halves)
    weights = normal(*expected.shape)
    (expected * weights).sum().backward()
    gradients = [half.grad for half in halves]
    for half in halves:
        half.grad = None
    found = whole_pairs(halves[0], halves[1], kernels)
    assert found.shape == expected.shape
    assert apart(found, expected) < 1e-6
    (found * weights).sum().backward()
    for half, gradient in zip(halves, gradients, strict=True):
        assert half.grad is not None
        assert gradient is not None
        assert apart(half.grad, gradient) < 1e-6
