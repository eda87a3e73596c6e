"""The figure of a block: every layer, every branch, and how branches are merged."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from archsearch.config_files import block_lookup, config_folder, options_of
from archsearch.design.layers import Conv, GeneralConv
from archsearch.design.lower import lower_block, with_options
from archsearch.design.plan import Layer, Parallel, Sequence
from archsearch.design.resize import Pad, Upsample
from archsearch.design.spec import BlockReader
from archsearch.report.figures.block import block_drawing, layer_text
from archsearch.report.figures.drawing import Drawing, Line, Rect, Text, text_width

MERGES = {"add": "+", "mean": "mean", "multiply": "×", "concat": "concat"}


def layers_of(name: str) -> tuple[Layer, ...]:
    block = with_options(BlockReader(block_lookup([config_folder()])).read(name, name))
    return lower_block(block, 32, {"dense_layer": 44, "dense_transition": 16}.get(name, 32))


def leaves(layers: Iterable[Layer]) -> list[Layer]:
    found: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Parallel):
            found += [layer, *(one for branch in layer.branches for one in leaves(branch.layers))]
        else:
            found += leaves(layer.layers) if isinstance(layer, Sequence) else [layer]
    return found


def texts(drawing: Drawing) -> list[str]:
    return [part.text for part in drawing.parts if isinstance(part, Text)]


@pytest.mark.parametrize("name", options_of("block"))
def test_a_shipped_block_is_drawn_whole_inside_its_sheet(name: str) -> None:
    layers = layers_of(name)
    drawing = block_drawing(layers, name)
    expected = [MERGES[one.combine] if isinstance(one, Parallel) else layer_text(one) for one in leaves(layers)]
    assert sorted(texts(drawing)) == sorted([*expected, name, "input", "output"])
    assert drawing.label.startswith(f"{name}: ")
    for part in drawing.parts:
        if isinstance(part, Rect):
            assert part.x >= 0
            assert part.x + part.width <= drawing.width
            assert 0 <= part.y <= part.y + part.height <= drawing.height
        if isinstance(part, Text):
            half = text_width(part.text, part.size, bold=part.is_bold) * (0.5 if part.anchor == "middle" else 1)
            assert part.x + half <= drawing.width + 1


@pytest.mark.parametrize("name", options_of("block"))
def test_no_box_lies_on_another_and_every_wire_runs_straight(name: str) -> None:
    drawing = block_drawing(layers_of(name), name)
    boxes = [part for part in drawing.parts if isinstance(part, Rect) and part.look == "box"]
    for place, one in enumerate(boxes):
        for other in boxes[place + 1 :]:
            beside = one.x + one.width <= other.x or other.x + other.width <= one.x
            assert beside or one.y + one.height <= other.y or other.y + other.height <= one.y
    wires = [part for part in drawing.parts if isinstance(part, Line)]
    assert wires
    for wire in wires:
        assert all(x == pytest.approx(u) or y == pytest.approx(v)
                   for (x, y), (u, v) in zip(wire.points, wire.points[1:], strict=False))  # fmt: skip


def test_the_words_of_a_figure_name_layers_and_branches() -> None:
    label = block_drawing(layers_of("repvgg"), "repvgg").label
    assert label == "repvgg: add of (batch norm | conv 1×1, batch norm | conv 3×3, batch norm), relu"
    assert "the input" in block_drawing(layers_of("convnext"), "convnext").label


def test_a_convolution_says_what_differs_from_the_plainest() -> None:
    conv = Conv(name="a", in_channels=8, out_channels=8, kernel=3, stride=2, dilation=3, groups=8)
    assert layer_text(conv) == "depthwise 3×3, stride 2, dilation 3"
    assert layer_text(Conv(name="a", in_channels=8, out_channels=4, kernel=1)) == "conv 1×1 to 4 ch"
    wide = GeneralConv(name="a", in_channels=4, out_channels=4, kernel=1, kernel_width=7, padding_width=(3, 3))
    assert layer_text(wide) == "conv 1×7"
    assert layer_text(Pad(name="a", rows=(1, 1), mode="reflect")) == "border of reflect"
    assert layer_text(Upsample(name="a", factor=2)) == "upsample ×2, nearest"
