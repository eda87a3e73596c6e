"""Kernels that are not square and borders of a map: their fields, numbers, errors and receptive fields, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from archsearch.analysis.measure import measure, rows
from archsearch.analysis.traits import read_traits
from archsearch.design.block import decode_block
from archsearch.design.geometry import ONE_PIXEL, AxisExtent, AxisExtents, slide_axes, union
from archsearch.design.layers import Conv, Linear, Pad
from archsearch.design.lower import lower, lower_block, with_options
from archsearch.design.plan import Layer, Plan, Sequence, design_id
from archsearch.design.spec import decode_design, no_blocks
from archsearch.errors import SpecError

CONV = Conv(name="conv", in_channels=8, out_channels=12)


def lowered(*layers: Any, **options: Any) -> tuple[Layer, ...]:
    block = decode_block({"options": options, "layers": list(layers)}, "b")
    return lower_block(with_options(block), 8, 12)


def plan_of(*layers: Layer, size: tuple[int, int] = (9, 12)) -> Plan:
    return Plan(input_shape=(8, *size), layers=(Sequence(name="stages", layers=layers),))


@pytest.mark.parametrize(
    ("raw", "kernels", "sides", "mode"),
    [
        ({"kernel": [1, 5]}, (1, 5), ((0, 0), (2, 2)), "zeros"),
        ({"kernel": ["k - 2", "k + 1"], "dilation": 2}, (1, 4), ((0, 0), (3, 3)), "zeros"),
        ({"kernel": [3, 1], "padding": "valid"}, (3, 1), ((0, 0), (0, 0)), "zeros"),
        ({"kernel": [3, 1], "padding": 2}, (3, 1), ((2, 2), (2, 2)), "zeros"),
        ({"padding": ["same", 0]}, (3, 3), ((1, 1), (0, 0)), "zeros"),
        ({"kernel": "k", "padding": {"bottom": "k - 2", "left": 2}}, (3, 3), ((0, 1), (2, 0)), "zeros"),
        ({"stride": 2, "padding": ["valid", "same"], "ceil_mode": True}, (3, 3), ((0, 1), (1, 1)), "zeros"),
        ({"padding_mode": "circular"}, (3, 3), ((1, 1), (1, 1)), "circular"),
        ({"padding_mode": "mode"}, (3, 3), ((1, 1), (1, 1)), "reflect"),
    ],
)
def test_convolutions(raw: Any, kernels: Any, sides: Any, mode: str) -> None:
    (conv,) = lowered({"conv": raw}, k=3, mode="reflect")
    assert isinstance(conv, Conv)
    assert (conv.kernels, conv.sides, conv.mode) == (kernels, sides, mode)
    assert conv.parameters == 12 * 8 * kernels[0] * kernels[1]
    height, width = (9 + sum(sides[0]), 12 + sum(sides[1]))
    reach = [conv.dilation * (kernel - 1) for kernel in kernels]
    shape = (12, (height - reach[0] - 1) // conv.stride + 1, (width - reach[1] - 1) // conv.stride + 1)
    assert conv.output_shape((8, 9, 12)) == conv.shape_after((8, 9, 12)) == shape
    assert conv.macs(shape) == conv.parameters * shape[1] * shape[2]


@pytest.mark.parametrize("raw", [{"kernel": [3, 3]}, {"padding": [1, 1]}, {"padding": dict.fromkeys(
    ("top", "bottom", "left", "right"), 1)}, {"padding_mode": "zeros"}])  # fmt: skip
def test_a_square_convolution_is_an_ordinary_one_however_it_is_spelled(raw: Any) -> None:
    assert lowered({"conv": raw}) == lowered("conv")


@pytest.mark.parametrize(
    ("raw", "pad"),
    [
        ("pad", Pad(name="pad", rows=(1, 1), columns=(1, 1))),
        ({"pad": 2}, Pad(name="pad", rows=(2, 2), columns=(2, 2))),
        ({"pad": {"padding": [0, "k"], "padding_mode": "reflect"}}, Pad(name="pad", columns=(3, 3), mode="reflect")),
        ({"pad": {"padding": {"bottom": 1, "right": 1}}}, Pad(name="pad", rows=(0, 1), columns=(0, 1))),
    ],
)
def test_borders(raw: Any, pad: Pad) -> None:
    assert lowered(raw, k=3) == (pad,)
    (top, bottom), (left, right) = pad.rows, pad.columns
    assert pad.output_shape((8, 9, 12)) == (8, 9 + top + bottom, 12 + left + right)
    assert (pad.parameters, pad.macs((8, 9, 12)), pad.traits(None)) == (0, 0, ())


def test_a_border_of_nothing_makes_no_layer() -> None:
    assert lowered({"pad": 0}) == ()


@pytest.mark.parametrize(
    ("border", "conv", "together"),
    [
        ({"padding": 1}, {"padding": 0}, {"padding": 1}),
        ({"padding": 1}, {}, {"padding": 2}),
        ({"padding": {"top": 1}}, {"kernel": [3, 1], "padding": 0}, {"kernel": [3, 1], "padding": {"top": 1}}),
        ({"padding": 1, "padding_mode": "circular"}, {"padding": 0}, {"padding_mode": "circular"}),
        (
            {"padding": 1, "padding_mode": "replicate"},
            {"padding_mode": "replicate"},
            {"padding": 2, "padding_mode": "replicate"},
        ),
    ],
)
def test_a_border_before_a_convolution_is_its_padding(border: Any, conv: Any, together: Any) -> None:
    assert lowered({"pad": border}, {"conv": conv}) == lowered({"conv": together})


@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_a_border_that_is_mirrored_again_stays(mode: str) -> None:
    pad = {"padding": 1, "padding_mode": mode}
    assert [layer.name for layer in lowered({"pad": pad}, {"conv": {"padding_mode": mode}})] == ["pad", "conv"]
    assert [layer.name for layer in lowered({"pad": pad}, "conv")] == ["pad", "conv"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"conv": {"kernel": [1, 2, 3]}}, "conv.kernel: must be one value, or two for height and width, got 3"),
        ({"conv": {"kernel": [0, 3]}}, "conv.kernel[0]: '0' gives 0, must be at least 1"),
        ({"conv": {"kernel": {"height": 1}}}, "conv.kernel: must be a number, or two for height and width, got a"),
        ({"conv": {"kernel": [3, 5000]}}, "conv.kernel[1]: must be at most 4096 px, got 5000"),
        ({"conv": {"stride": [1, 2]}}, "conv.stride: must be a number or an expression, got a list"),
        ({"conv": {"padding": [0, 1, 0, 1]}}, "conv.padding: must be one value, or two for height and width, got 4"),
        ({"conv": {"padding": [1, "reflect"]}}, "conv.padding[1]: unknown value 'reflect'. Write 'padding_mode"),
        ({"conv": {"padding": {"topp": 1}}}, "conv.padding.topp: unknown key for padding. Did you mean 'top'?"),
        ({"conv": {"padding": {"left": -1}}}, "conv.padding.left: '-1' gives -1, must be at least 0"),
        ({"conv": {"padding": {"left": 5000}}}, "conv.padding.left: must be at most 4096 px, got 5000"),
        ({"conv": {"padding_mode": "mirror"}}, "conv.padding_mode: unknown value 'mirror'."),
        ({"conv": {"padding_mode": 1}}, "conv.padding_mode: must be one of zeros, reflect, replicate, circular, got"),
        ({"pad": {"padding_mode": "relfect"}}, "pad.padding_mode: unknown value 'relfect'. Did you mean 'reflect'?"),
        ({"pad": "same"}, "pad.padding: "),
    ],
)
def test_errors_of_fields(raw: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        lowered(raw)
    assert str(caught.value).startswith(f"b.layers[0].{message}")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            CONV.with_windows(13, ((0, 0), (0, 0)), "zeros"),
            "a kernel of 13 is larger than the width of its input of 9 x 12 px without padding",
        ),
        (
            CONV.with_windows(1, ((9, 9), (0, 0)), "reflect"),
            "padding_mode 'reflect' cannot pad a map of 9 x 12 px by 9 px. Use padding of at most 8 px",
        ),
        (
            CONV.with_windows(1, ((1, 1), (0, 13)), "circular"),
            "padding_mode 'circular' cannot pad a map of 9 x 12 px by 13 px. Use padding of at most 12 px",
        ),
        (Pad(name="conv", rows=(9, 0), mode="reflect"), "padding_mode 'reflect' cannot pad a map of 9 x 12 px by 9"),
    ],
)
def test_a_map_that_is_too_small_is_an_error_of_the_analysis(layer: Layer, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        measure(plan_of(layer))
    assert str(caught.value).startswith(f"stages.conv: {message}")


def test_each_axis_has_a_receptive_field_and_limits_see_the_smaller() -> None:
    wide, tall = CONV.with_windows(5, ((1, 1), (2, 2)), "zeros"), Conv(name="next", in_channels=12, out_channels=4)
    found = measure(plan_of(wide, tall))
    first, second = rows(plan_of(wide, tall))
    assert (first.receptive_fields, second.receptive_fields) == ((3, 5), (5, 7))
    assert (first.receptive_field, found.receptive_field, found.jump) == (3, 5, 1)
    assert second.middle_field() == ((2, 7), (3, 10))  # unit (3, 5) of 7 x 10 behind one px of padding above, two left
    assert first.extent == AxisExtents(AxisExtent(((-1, 2),), 1), AxisExtent(((-2, 3),), 1))


def test_two_kernels_that_make_a_square_have_the_field_of_a_square() -> None:
    extent = slide_axes(slide_axes(ONE_PIXEL, (1, 3), 2, 1, (0, 1)), (3, 1), 1, 1, (1, 0))
    assert extent.axes == (AxisExtent(((-2, 3),), 2), AxisExtent(((-1, 2),), 2))
    square = slide_axes(slide_axes(ONE_PIXEL, (1, 3), 1, 1, (0, 1)), (3, 1), 1, 1, (1, 0))
    assert square == (-1, 3, 1)
    assert union([extent, slide_axes(ONE_PIXEL, (3, 3), 2, 1, (3, 1))]).axes == (
        AxisExtent(((-3, 3),), 2),
        AxisExtent(((-1, 2),), 2),
    )


def test_equal_networks_are_equal() -> None:
    valid = CONV.with_windows(3, ((0, 0), (0, 0)), "circular")
    assert design_id(plan_of(valid)) == design_id(plan_of(CONV))
    # A border that no window reaches.
    unreached = Conv(name="conv", in_channels=8, out_channels=4, kernel=2, stride=2)
    wide = unreached.with_windows(2, ((0, 0), (0, 1)), "replicate")
    assert design_id(plan_of(wide)) == design_id(plan_of(unreached))
    whole = CONV.with_windows(12, ((0, 0), (0, 0)), "zeros")
    dense = Linear(name="linear", in_features=8 * 3 * 12, out_features=12, bias=False)
    assert design_id(plan_of(whole, size=(3, 12))) == design_id(plan_of(dense, size=(3, 12)))
    assert design_id(plan_of(CONV.with_windows(3, ((1, 1), (1, 1)), "reflect"))) != design_id(
        plan_of(CONV.with_windows(3, ((1, 1), (1, 1)), "zeros"))
    )


def test_traits_are_those_of_a_convolution_with_a_window() -> None:
    depthwise = Conv(name="a", in_channels=8, out_channels=8, kernel=1, groups=8).with_windows(
        3, ((0, 0), (1, 1)), "zeros"
    )
    pointwise = Conv(name="b", in_channels=8, out_channels=4, kernel=1)
    assert {"depthwise", "depthwise_separable"} <= read_traits(plan_of(depthwise, pointwise)).present
    assert "pointwise" not in read_traits(plan_of(CONV.with_windows(1, ((0, 0), (0, 0)), "zeros"))).present


def test_pairs_of_filters_are_half_of_the_parameters() -> None:
    block = {"layers": [{"conv": {"kernel": [3, 1]}}, {"conv": {"kernel": [1, 3]}}]}
    stages = {"c1": {"block": block, "width": 8}}
    arch = {"input": [3, 16, 16], "stages": stages, "head": {"classes": 4}, "symmetry": "flip"}
    assert measure(lower(decode_design(arch, no_blocks))).parameters == (8 * 3 * 3 + 8 * 8 * 3) // 2 + 4 * 4 + 4
