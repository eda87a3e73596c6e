from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.kernels import Chain, Kernels, equip
from archsearch.network.modules import Branches, GlobalPool2d, MapLinear, Network, PaddedPool2d, UnevenConv2d

MAP = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)


def test_an_uneven_convolution_pads_before_and_after() -> None:
    conv = UnevenConv2d(1, 1, 2, before=0, after=1, stride=1, dilation=1, groups=1, bias=False)
    nn.init.ones_(conv.weight)
    assert conv(MAP)[0, 0].tolist() == [[12, 16, 9], [24, 28, 15], [15, 17, 9]]
    assert list(conv.state_dict()) == ["weight"]


def test_padding_never_wins_a_max() -> None:
    pool = PaddedPool2d("max", 2, 1, before=1, after=0)
    assert pool(-MAP)[0, 0].tolist() == [[-1, -1, -2], [-1, -1, -2], [-4, -4, -5]]


def test_padding_does_not_count_in_an_average() -> None:
    pool = PaddedPool2d("average", 2, 2, before=1, after=0)
    assert pool(MAP)[0, 0].tolist() == [[1, 2.5], [5.5, 7]]


def test_even_padding_gives_what_torch_gives() -> None:
    images = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    average = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
    torch.testing.assert_close(PaddedPool2d("average", 3, 2, before=1, after=1)(images), average(images))
    assert torch.equal(PaddedPool2d("max", 3, 2, before=1, after=1)(images), nn.MaxPool2d(3, 2, 1)(images))


def test_global_pools_keep_four_axes() -> None:
    assert GlobalPool2d("average")(MAP).tolist() == [[[[5.0]]]]
    assert GlobalPool2d("max")(MAP).tolist() == [[[[9.0]]]]


def test_a_dense_layer_reads_channels_first_whatever_the_memory_layout() -> None:
    linear = MapLinear(12, 5)
    images = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    expected = nn.functional.linear(images.flatten(1), linear.weight, linear.bias)
    assert linear(images).shape == (2, 5, 1, 1)
    torch.testing.assert_close(linear(images.contiguous(memory_format=torch.channels_last)).flatten(1), expected)


def test_branches_merge_in_the_order_of_their_names() -> None:
    parts = {"a": nn.Identity(), "b": GlobalPool2d("max")}
    assert torch.equal(Branches(parts, "multiply")(MAP), MAP * 9)
    assert torch.equal(Branches({"a": nn.Identity(), "b": nn.ReLU()}, "add")(MAP), MAP * 2)
    assert torch.equal(Branches({"a": nn.Identity(), "b": nn.Hardtanh()}, "concat")(MAP)[:, 0], MAP[:, 0])


def test_a_network_flattens_its_last_map() -> None:
    assert Network({"pool": GlobalPool2d("average")})(MAP).tolist() == [[5.0]]


def test_a_convolution_of_uneven_padding_keeps_it_beside_kernels(kernels: Kernels) -> None:
    for kernel, groups in ((3, 1), (2, 1), (4, 8)):
        conv = UnevenConv2d(8, 8, kernel, before=0, after=1, stride=2, dilation=1, groups=groups, bias=False)
        chain, images = Chain(conv), torch.randn(2, 8, 9, 9, generator=torch.Generator().manual_seed(0))
        expected = chain(images)
        equip(chain, kernels)
        torch.testing.assert_close(chain(images), expected)


@pytest.mark.parametrize("in_bf16", [False, True])
def test_branches_with_kernels_add_values_and_gradients(kernels: Kernels, in_bf16) -> None:
    def branches() -> Branches:
        torch.manual_seed(0)
        grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)  # stays with torch, in float32
        return Branches({"conv": Chain(nn.Conv2d(8, 8, 1), nn.ReLU()), "other": grouped, "none": Chain()}, "add")

    given = torch.randn(3, 8, 5, 5, generator=torch.Generator().manual_seed(1))
    found, expected = given.clone().requires_grad_(), given.clone().requires_grad_()
    fast, plain = branches(), branches()
    equip(fast, kernels, in_bf16=in_bf16)
    result, true = fast(found), plain(expected)
    result.sum().backward()
    true.sum().backward()
    within = 0.02 if in_bf16 else 1e-5
    torch.testing.assert_close(result.float(), true, rtol=within, atol=within)
    torch.testing.assert_close(found.grad, expected.grad, rtol=within, atol=within)


def test_branches_without_kernels_keep_the_type_of_their_map() -> None:
    branches = Branches({"conv": nn.Conv2d(3, 3, 1), "none": nn.Identity()}, "add").double()
    assert branches(torch.ones(1, 3, 2, 2, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("kind", ["average", "max"])
def test_a_global_pool_with_kernels_takes_bfloat16_and_returns_float32(kernels: Kernels, kind) -> None:
    pool, images = GlobalPool2d(kind), torch.randn(2, 16, 4, 4).bfloat16()
    expected = pool(images.float())
    equip(pool, kernels, in_bf16=True)
    assert pool(images).dtype == torch.float32
    torch.testing.assert_close(pool(images), expected)
    torch.testing.assert_close(pool(images[:, :3].float()), expected[:, :3])  # channels that fill no vector
