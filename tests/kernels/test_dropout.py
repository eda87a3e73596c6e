"""Dropout by a kernel: how much it drops, that draws have nothing to do with one another, and the gradient's way."""

from __future__ import annotations

import itertools

import pytest
import torch
from kernel_values import normal, taking
from torch import nn

from archsearch.kernels import Kernels, prepare
from archsearch.kernels.maps import dropout

ONES = torch.ones(8, 16, 16, 64).permute(0, 3, 1, 2)


def drawn(kernels: Kernels, rate: float, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return dropout(ONES, rate, taking(kernels, 64))


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5, 0.9])
def test_a_share_is_dropped_and_the_others_make_up_for_it(kernels: Kernels, rate) -> None:
    found = drawn(kernels, rate, 0)
    kept = found != 0
    deviation = (rate * (1 - rate) / found.numel()) ** 0.5
    assert abs((~kept).double().mean() - rate) < 4 * deviation
    torch.testing.assert_close(found[kept], torch.full_like(found[kept], 1 / (1 - rate)))


def test_draws_have_nothing_to_do_with_one_another(kernels: Kernels) -> None:
    kept = [(drawn(kernels, 0.5, seed) != 0).double() for seed in range(8)]
    limit = 4 / ONES.numel() ** 0.5
    for one, other in itertools.pairwise(kept):
        assert abs(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) < limit
    for dim in range(4):  # nor with those beside them
        assert abs(((kept[0] - 0.5) * (kept[0].roll(1, dim) - 0.5)).mean() * 4) < limit
    for dims in ((0, 2, 3), (1, 2, 3), (0, 1, 3)):
        shares = torch.stack(kept).mean((0, *(1 + dim for dim in dims)))
        assert (shares - 0.5).abs().max() < 4.5 * 0.5 / (len(kept) * ONES.numel() / len(shares)) ** 0.5


def test_a_seed_gives_the_same_draws_on_any_number_of_threads(kernels: Kernels) -> None:
    first = drawn(kernels, 0.3, 5)
    torch.set_num_threads(3 - torch.get_num_threads())  # the fixture puts it back
    assert torch.equal(drawn(kernels, 0.3, 5), first)
    assert not torch.equal(drawn(kernels, 0.3, 6), first)
    assert not torch.equal(dropout(ONES, 0.3, taking(kernels, 64)), drawn(kernels, 0.3, 6))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 8, 1, 1), (3, 24, 5, 7), (9, 64, 16, 16)])
def test_values_and_gradients_are_dropped_alike(kernels: Kernels, shape, dtype) -> None:
    images, gradient = normal(*shape).to(dtype).requires_grad_(), normal(*shape, seed=1).to(dtype)
    found = dropout(images, 0.25, taking(kernels, shape[1]))
    found.backward(gradient)
    kept = found != 0
    assert images.grad is not None
    for value, given in ((found, images), (images.grad, gradient)):
        assert value.dtype == dtype
        torch.testing.assert_close(value, torch.where(kept, given / 0.75, 0).to(dtype), rtol=2**-7, atol=0)


def test_a_chain_draws_in_training_alone(kernels: Kernels) -> None:
    images = normal(4, 16, 9, 9)
    for layer, share in ((nn.Dropout(0.5), 0.5), (nn.Dropout(0.0), 0.0), (nn.Dropout(1.0), 1.0)):
        chain = nn.Sequential(layer)
        prepare(chain, kernels, in_bf16=True)
        assert abs((chain(images) == 0).double().mean() - share) < 0.03
        assert torch.equal(chain.eval()(images), images)
