from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.network.modules import (
    Branches,
    DilatedDepthwiseConv2d,
    GlobalPool2d,
    MapLinear,
    Network,
    PaddedPool2d,
    UnevenConv2d,
    join_map,
    split_map,
)

MAP = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)


def test_an_uneven_convolution_pads_before_and_after() -> None:
    conv = UnevenConv2d(1, 1, 2, border=(0, 1, 0, 1), stride=1, dilation=1, groups=1, bias=False)
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


def test_branches_without_kernels_keep_the_type_of_their_map() -> None:
    branches = Branches({"conv": nn.Conv2d(3, 3, 1), "none": nn.Identity()}, "add").double()
    assert branches(torch.ones(1, 3, 2, 2, dtype=torch.float64)).dtype == torch.float64


def pair(kernel: int, dilation: int, *, bias: bool = False) -> tuple[nn.Conv2d, DilatedDepthwiseConv2d]:
    arguments = {"padding": dilation * (kernel // 2), "dilation": dilation, "groups": 6, "bias": bias}
    torch.manual_seed(0)
    plain, ours = nn.Conv2d(6, 6, kernel, **arguments), DilatedDepthwiseConv2d(6, 6, kernel, **arguments)
    ours.load_state_dict(plain.state_dict())
    return plain, ours


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    ("kernel", "dilation", "height", "width"), [(3, 2, 8, 8), (5, 2, 8, 12), (3, 4, 8, 16), (3, 3, 8, 9)]
)
def test_maps_and_gradients_are_those_of_torch(
    kernel: int, dilation: int, height: int, width: int, layout: torch.memory_format
) -> None:
    plain, ours = pair(kernel, dilation, bias=True)
    image = torch.randn(3, 6, height, width).contiguous(memory_format=layout)
    gradient = torch.randn(3, 6, height, width)
    found = []
    for network in (plain, ours):
        input_BCHW = image.clone().requires_grad_()
        output_BCHW = network(input_BCHW)
        output_BCHW.backward(gradient)
        assert network.bias is not None
        found.append((output_BCHW, input_BCHW.grad, network.weight.grad, network.bias.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_a_map_is_split_into_every_second_row_and_column_and_joined_again() -> None:
    image = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    parts = split_map(image, 2)
    assert parts.shape == (8, 3, 2, 3)
    torch.testing.assert_close(parts[1], image[0, :, 0::2, 1::2])
    torch.testing.assert_close(join_map(parts, 2), image)


def test_an_exported_program_holds_the_one_convolution() -> None:
    _, ours = pair(3, 2)
    program = torch.export.export(ours, (torch.randn(2, 6, 8, 8),))
    convolutions = [node for node in program.graph.nodes if "conv2d" in str(node.target)]
    assert [node.args[5] for node in convolutions] == [[2, 2]]
    assert not any("reshape" in str(node.target) for node in program.graph.nodes)


def test_nothing_is_split_where_nothing_is_learnt() -> None:
    plain, ours = pair(3, 2)
    image = torch.randn(2, 6, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), plain(image), rtol=0, atol=0)
