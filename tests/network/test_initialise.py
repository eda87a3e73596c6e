from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from archsearch.network.initialise import Scheme, initialise
from archsearch.network.modules import Branches


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("scheme", "deviation"),
    [
        ("kaiming", math.sqrt(2 / (96 * 9))),
        ("xavier", math.sqrt(2 / ((32 + 96) * 9))),
        ("torch", math.sqrt(1 / (3 * 32 * 9))),
    ],
)
def test_convolutions_have_the_deviation_of_their_scheme(scheme: Scheme, deviation: float) -> None:
    conv = nn.Conv2d(64, 192, 3, groups=2)
    initialise(conv, scheme=scheme, generator=generator())
    assert float(conv.weight.detach().std()) == pytest.approx(deviation, rel=0.02)
    assert conv.bias is not None
    assert bool(conv.bias.detach().any()) == (scheme == "torch")


def test_a_depthwise_convolution_has_the_fan_of_one_channel() -> None:
    conv = nn.Conv2d(512, 512, 3, groups=512)
    initialise(conv, generator=generator())
    assert float(conv.weight.detach().std()) == pytest.approx(math.sqrt(2 / 9), rel=0.05)


def test_dirac_passes_the_first_channels_on() -> None:
    conv = nn.Conv2d(4, 6, 3, padding=1, bias=False)
    images = torch.randn(2, 4, 5, 5, generator=generator())
    initialise(conv, scheme="dirac", generator=generator())
    torch.testing.assert_close(conv(images)[:, :4], images)
    assert bool(conv.weight[4:].detach().all())


def test_dirac_passes_channels_on_within_groups_and_leaves_even_kernels_alone() -> None:
    grouped = nn.Conv2d(4, 8, 3, padding=1, groups=2, bias=False)
    images = torch.randn(2, 4, 5, 5, generator=generator())
    initialise(grouped, scheme="dirac", generator=generator())
    torch.testing.assert_close(grouped(images)[:, [0, 1, 4, 5]], images)
    even, kaiming = nn.Conv2d(4, 4, 2), nn.Conv2d(4, 4, 2)
    initialise(even, scheme="dirac", generator=generator())
    initialise(kaiming, scheme="kaiming", generator=generator())
    assert torch.equal(even.weight, kaiming.weight)


def test_norms_start_at_the_identity() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.GroupNorm(1, 3), nn.InstanceNorm2d(3, affine=True))
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(7)
    initialise(network, generator=generator())
    for name, tensor in network.state_dict().items():
        assert tensor.unique().tolist() == [1 if name.endswith(("weight", "running_var")) else 0]


def test_the_norm_that_ends_a_residual_starts_at_zero_on_request() -> None:
    main = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.BatchNorm2d(3)))
    residual, after = Branches({"main": main, "shortcut": nn.Sequential()}, "add"), nn.BatchNorm2d(3)
    initialise(nn.Sequential(residual, after), generator=generator(), zero_residual=True)
    images = torch.randn(2, 3, 5, 5, generator=generator())
    assert torch.equal(residual(images), images)
    assert bool(after.weight.detach().all())


def test_a_generator_repeats_whatever_the_memory_layout() -> None:
    one, two = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    initialise(one, generator=generator(3))
    initialise(two, generator=generator(3))
    assert torch.equal(one.weight, two.weight)
