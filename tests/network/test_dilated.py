"""Dilated depthwise convolutions give what torch's own gives, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.network.dilated import DilatedDepthwiseConv2d, join_map, split_map


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
