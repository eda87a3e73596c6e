"""Steps of Muon by the kernel against those by torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from archsearch.kernels import Kernels
from archsearch.training.backend import KernelMuon
from archsearch.training.optimizers import Muon

SHAPES = [(32, 16, 3, 3), (16, 32, 3, 3), (24, 40, 1, 1), (40, 24, 1, 1), (20, 3, 5, 5), (7, 5, 1, 1), (10, 64)]


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_kernels_take_the_same_steps(kernels: Kernels, order: torch.memory_format) -> None:
    def after_three(by_kernels: bool) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
        for weight in weights:
            if weight.dim() == 4:
                weight.data = weight.data.contiguous(memory_format=order)
        how: dict[str, Any] = {"lr": 0.1, "momentum": 0.6, "weight_decay": 0.01, "normalise": True}
        muon = KernelMuon(kernels, weights, **how) if by_kernels else Muon(weights, **how)
        for _ in range(3):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=generator)  # in another order than channels last
            muon.step()
        return [weight.detach() for weight in weights] + [muon.state[one]["momentum_buffer"] for one in weights]

    for one, other in zip(after_three(True), after_three(False), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_directions_that_a_gradient_lacks_stay_small_by_the_kernels(kernels: Kernels) -> None:
    weight = nn.Parameter(torch.zeros(16, 40))
    weight.grad = torch.ones(16, 1) @ torch.arange(40.0)[None]
    KernelMuon(kernels, [weight], lr=1.0).step()
    singular = torch.linalg.svdvals(weight.detach())
    assert 0.6 < singular[0] < 1.3
    assert singular[1] < 1e-2
