"""Normalisation with its activation against torch's, in double precision."""

from __future__ import annotations

import pytest
import torch
from kernel_values import apart, normal, taking
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.kernels import Kernels
from archsearch.kernels.maps import HARDSWISH, NONE, RELU, RELU6, SILU, norm_act, scale_act

KINDS = {NONE: lambda z: z, RELU: F.relu, SILU: F.silu, HARDSWISH: F.hardswish, RELU6: F.relu6}
JUMPS = {RELU: (0,), HARDSWISH: (-3, 3), RELU6: (0, 6)}


def norm_of(weight: Tensor, bias: Tensor, *, momentum: float = 0.25) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(len(weight), momentum=momentum)
    norm.weight, norm.bias = nn.Parameter(weight), nn.Parameter(bias)
    return norm


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 8, 1, 3), (5, 24, 7, 9), (16, 64, 8, 8)])
def test_values_statistics_and_gradients(kernels: Kernels, kind, shape, dtype) -> None:
    images = (2 * normal(*shape) + 3).to(dtype)
    norm = norm_of(normal(shape[1], seed=1) + 1.5, normal(shape[1], seed=2))
    given = (images.requires_grad_(), norm.weight, norm.bias)
    true = [one.detach().double().requires_grad_() for one in given]
    result = norm_act(images, norm, kind, taking(kernels, shape[1]))
    normed = F.batch_norm(true[0], None, None, true[1], true[2], training=True, eps=1e-5)
    gradient = normal(*shape, seed=3)
    for jump in JUMPS.get(kind, ()):  # of the slope: on which side of it a value is, rounding alone decides
        gradient = gradient * ((normed - jump).abs() > 0.02)
    gradient = gradient.to(dtype)
    expected = KINDS[kind](normed)
    result.backward(gradient)
    expected.backward(gradient.double())
    within = 1e-5 if dtype == torch.float32 else 2**-8
    assert result.dtype == dtype
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked == 1
    assert apart(norm.running_mean, 0.25 * true[0].mean((0, 2, 3))) < 1e-5
    assert apart(norm.running_var, 0.75 + 0.25 * true[0].var((0, 2, 3))) < 1e-5
    assert apart(result, expected) < within
    for one, other in zip(given, true, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert apart(one.grad, other.grad) < 2 * within


def test_a_large_mean_does_not_lose_the_variance(kernels: Kernels) -> None:
    images = normal(8, 8, 16, 16) + 3000
    norm = norm_of(torch.ones(8), torch.zeros(8), momentum=1.0)
    norm_act(images, norm, NONE, taking(kernels, 8))
    assert norm.running_var is not None
    assert apart(norm.running_var, images.double().var((0, 2, 3))) < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_activations_far_out(kernels: Kernels, kind) -> None:
    images = torch.tensor([-1e4, -100.0, -88.0, -3.0, 0.0, 3.0, 88.0, 1e4]).view(1, 8, 1, 1)
    found = scale_act(images, torch.ones(8), torch.zeros(8), kind, taking(kernels, 8))
    torch.testing.assert_close(found, KINDS[kind](images), rtol=1e-5, atol=1e-6)


def test_what_is_not_a_number_stays_so(kernels: Kernels) -> None:
    images = normal(2, 8, 4, 4)
    images[0, 3, 1, 1] = float("nan")
    for dtype in (torch.float32, torch.bfloat16):
        result = norm_act(images.to(dtype), norm_of(torch.ones(8), torch.zeros(8)), SILU, taking(kernels, 8))
        assert result[:, 3].isnan().all()
        assert not result[:, :3].isnan().any()
