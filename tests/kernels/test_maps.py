"""Sums and averages of maps against torch's, values and gradients."""

from __future__ import annotations

import pytest
import torch
from kernel_values import apart, normal, taking

from archsearch.kernels import Kernels
from archsearch.kernels.maps import add_maps, global_average, share_map

SHAPES = [(1, 8, 1, 1), (3, 24, 5, 7), (9, 64, 16, 16)]  # the last is more than a thread takes at a time
TYPES = {torch.float32: 1e-6, torch.bfloat16: 2**-8}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_and_their_gradients(kernels: Kernels, shape, dtype) -> None:
    one, other = (normal(*shape, seed=seed).to(dtype).requires_grad_() for seed in (0, 1))
    gradient = normal(*shape, seed=2).to(dtype)
    total = add_maps(one, other, taking(kernels, one.shape[1]))
    total.backward(gradient)
    assert torch.equal(total, one + other)
    for given in (one, other):
        assert given.grad is not None
        assert torch.equal(given.grad, gradient)


def test_maps_that_lie_otherwise_in_memory_are_laid_out(kernels: Kernels) -> None:
    one = torch.randn(2, 8, 3, 5, generator=torch.Generator().manual_seed(0))
    other = normal(2, 8, 3, 5, seed=1)
    assert not one.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(add_maps(one, other, taking(kernels, one.shape[1])), one + other)
    assert apart(global_average(one, taking(kernels, 8)), one.mean((2, 3), keepdim=True)) < 1e-6


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_shared_map_gathers_the_gradients_of_all_its_branches(kernels: Kernels, count, dtype) -> None:
    images = normal(2, 16, 4, 4).to(dtype).requires_grad_()
    factors = [1.0, -3.0, 0.5][:count]
    shared = share_map(images, count, taking(kernels, images.shape[1]))
    assert all(torch.equal(one, images) for one in shared)
    torch.stack([factor * one.float().square() for factor, one in zip(factors, shared, strict=True)]).sum().backward()
    assert images.grad is not None
    assert apart(images.grad, 2 * sum(factors) * images) < 3 * TYPES[dtype]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_averages_and_their_gradients(kernels: Kernels, shape, dtype) -> None:
    images = normal(*shape).to(dtype).requires_grad_()
    true = images.detach().double().requires_grad_()
    mean, expected = global_average(images, taking(kernels, shape[1])), true.mean((2, 3), keepdim=True)
    gradient = normal(*shape[:2], 1, 1, seed=1)
    mean.backward(gradient)
    expected.backward(gradient.double())
    assert mean.dtype == torch.float32
    assert apart(mean, expected) < 1e-5
    assert images.grad is not None
    assert true.grad is not None
    assert images.grad.dtype == dtype
    assert apart(images.grad, true.grad) < TYPES[dtype]
