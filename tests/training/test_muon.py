from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(2, 8, 30), (3, 30, 8), (1, 16, 16)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    near = orthogonalise(matrices)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    singular = torch.linalg.svdvals(near)
    assert singular.max() < 1.3
    if shape[1] != shape[2]:  # a square one may have a singular value near 0, which five steps leave low
        assert singular.min() > 0.5
    # The singular vectors are those of the input: u^T near v is diagonal.
    inner = u.mT @ near @ v.mT
    assert torch.allclose(inner, torch.diag_embed(torch.diagonal(inner, dim1=-2, dim2=-1)), atol=1e-4)


def test_a_matrix_of_zeros_stays_finite():
    assert torch.equal(orthogonalise(torch.zeros(1, 3, 5)), torch.zeros(1, 3, 5))


def test_weights_of_one_shape_are_stepped_as_each_alone():
    def step(count: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(1)
        weights = [nn.Parameter(torch.randn(6, 4, 3, 3, generator=generator)) for _ in range(2)]
        for weight in weights:
            weight.grad = torch.randn(6, 4, 3, 3, generator=generator)
        for part in [weights] if count == 2 else [weights[:1], weights[1:]]:
            Muon(part, lr=0.1, weight_decay=0.1).step()
        return [weight.detach() for weight in weights]

    for together, alone in zip(step(2), step(1), strict=True):
        torch.testing.assert_close(together, alone)


def test_a_learning_rate_may_be_a_tensor():
    def step(rate: float | torch.Tensor) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(1)
        weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        muon = Muon(weights, lr=1.0, weight_decay=0.1)
        muon.param_groups[0]["lr"] = rate
        muon.step()
        return [weight.detach() for weight in weights]

    for one, other in zip(step(0.1), step(torch.tensor(0.1)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.cuda
def test_a_gpu_steps_weights_of_all_shapes_together():
    def steps(device: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        weights = [nn.Parameter(torch.randn(shape, generator=generator).to(device)) for shape in SHAPES]
        muon = Muon(weights, lr=0.1, momentum=0.6, weight_decay=0.01, normalise=True)
        for _ in range(3):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=generator).to(device)
            muon.step()
        return [weight.detach().cpu() for weight in weights]

    for one, other in zip(steps("cuda"), steps("cpu"), strict=True):  # the GPU multiplies in bf16
        assert (one - other).norm() < 0.02 * other.norm()


def test_one_step_by_hand():
    weight = nn.Parameter(torch.eye(2)[:, :, None, None].clone())
    weight.grad = torch.tensor([[3.0, 0.0], [0.0, 3.0]])[:, :, None, None]
    Muon([weight], lr=0.5, momentum=0.9, weight_decay=0.2).step()
    update = orthogonalise(torch.eye(2)[None])[0]
    expected = torch.eye(2) * (1 - 0.5 * 0.2) - 0.5 * update
    torch.testing.assert_close(weight.detach()[:, :, 0, 0], expected)


def test_normalise_holds_the_norm_at_the_root_of_the_filters():
    weight = nn.Parameter(torch.randn(9, 4, 3, 3, generator=torch.Generator().manual_seed(0)) * 7)
    weight.grad = torch.randn(9, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    Muon([weight], lr=1e-9, normalise=True).step()
    assert weight.norm().item() == pytest.approx(3.0, rel=1e-4)


def test_a_weight_without_gradient_is_left_alone():
    weight = nn.Parameter(torch.ones(2, 2))
    Muon([weight], lr=0.5, weight_decay=0.5).step()
    assert torch.equal(weight.detach(), torch.ones(2, 2))


SHAPES = [(32, 16, 3, 3), (16, 32, 3, 3), (24, 40, 1, 1), (40, 24, 1, 1), (20, 3, 5, 5), (7, 5, 1, 1), (10, 64)]


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_kernels_take_the_same_steps(kernels, order, threads):
    def after_three(way) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
        for weight in weights:
            if weight.dim() == 4:
                weight.data = weight.data.contiguous(memory_format=order)
        muon = Muon(weights, lr=0.1, momentum=0.6, weight_decay=0.01, normalise=True, kernels=way)
        for _ in range(3):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=generator)  # in another order than channels last
            muon.step()
        return [weight.detach() for weight in weights] + [muon.state[one]["momentum_buffer"] for one in weights]

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = after_three(kernels)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found, after_three(None), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_directions_that_a_gradient_lacks_stay_small_by_the_kernels(kernels):
    weight = nn.Parameter(torch.zeros(16, 40))
    weight.grad = torch.ones(16, 1) @ torch.arange(40.0)[None]
    Muon([weight], lr=1.0, kernels=kernels).step()
    singular = torch.linalg.svdvals(weight.detach())
    assert 0.6 < singular[0] < 1.3
    assert singular[1] < 1e-2
