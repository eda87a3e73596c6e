"""Upsampling: its fields, errors, and the receptive fields of maps that were made larger, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from archsearch.analysis.measure import measure, rows
from archsearch.design.block import decode_block
from archsearch.design.geometry import ONE_PIXEL, AnyExtent, AxisExtent, Extent, seen_through, slide, union, upsampled
from archsearch.design.layers import Conv, GlobalPool, Pool, Upsample
from archsearch.design.lower import lower, lower_block, with_options
from archsearch.design.plan import Layer, Parallel, Plan, Sequence, design_id
from archsearch.design.spec import decode_design, no_blocks
from archsearch.errors import SpecError


def lowered(*layers: Any, residual: Any = "none") -> tuple[Layer, ...]:
    block = decode_block({"layers": list(layers), "residual": residual}, "b")
    return lower_block(with_options(block), 8, 8)


def plan_of(*layers: Layer, size: int = 8) -> Plan:
    return Plan(input_shape=(8, size, size), layers=(Sequence(name="stages", layers=layers),))


def conv(name: str, **fields: Any) -> Conv:
    return Conv(name=name, in_channels=8, out_channels=8, **fields)


def fields_of(extent: AnyExtent, count: int) -> list[tuple[int, int]]:
    return [extent.axes[0].interval(index) for index in range(count)]


def test_layers() -> None:
    assert lowered("upsample") == (Upsample(name="upsample", factor=2),)
    assert lowered({"upsample": {"factor": 3, "mode": "bilinear"}}) == (
        Upsample(name="upsample", factor=3, mode="bilinear"),
    )
    assert lowered({"upsample": 1}) == ()
    layer = Upsample(name="u", factor=3)
    assert layer.output_shape((8, 4, 5)) == (8, 12, 15)
    assert (layer.parameters, layer.macs((8, 12, 15)), layer.traits(None), layer.channels_after(8)) == (0, 0, (), 8)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"upsample": 0}, "upsample.factor: '0' gives 0, must be at least 1"),
        ({"upsample": 65}, "upsample.factor: must be at most 64, got 65"),
        ({"upsample": {"mode": "bilinaer"}}, "upsample.mode: unknown value 'bilinaer'. Did you mean 'bilinear'?"),
        ({"upsample": [2, 1]}, "upsample.factor: must be a number or an expression, got a list"),
    ],
)
def test_errors_of_fields(raw: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        lowered(raw)
    assert str(caught.value).startswith(f"b.layers[0].{message}")


def test_a_map_has_a_largest_size() -> None:
    layers = [Upsample(name=f"u{i}", factor=64) for i in range(3)]
    with pytest.raises(SpecError, match=r"stages.u1: makes a map of 512 x 512 px 64 times as large, above 16384 px"):
        measure(plan_of(*layers))


def test_a_pixel_of_a_nearest_map_is_one_of_the_input() -> None:
    assert fields_of(upsampled(2, between=False), 4) == [(0, 1), (0, 1), (1, 2), (1, 2)]


def test_a_pixel_of_a_bilinear_map_is_between_two() -> None:
    assert fields_of(upsampled(2, between=True), 4) == [(-1, 1), (0, 2), (0, 2), (1, 3)]
    assert fields_of(upsampled(3, between=True), 3) == [(-1, 1), (0, 1), (0, 2)]


def test_a_window_behind_an_upsampling_sees_fields_of_two_sizes() -> None:
    extent = slide(seen_through(ONE_PIXEL, upsampled(2, between=False)), 3, 1, 1, 1)
    assert fields_of(extent, 4) == [(-1, 1), (0, 2), (0, 2), (1, 3)]
    assert (extent.size, extent.jump, extent.start) == (2, 0.5, -1)
    # A stride of 2 takes every second output: there is one size again.
    assert slide(seen_through(ONE_PIXEL, upsampled(2, between=False)), 3, 2, 1, 1) == Extent(-1, 2, 1)


def test_two_strides_and_an_upsampling_have_a_whole_jump() -> None:
    deep = slide(slide(ONE_PIXEL, 3, 2, 1, 1), 3, 2, 1, 1)
    extent = seen_through(deep, upsampled(2, between=False))
    assert (extent.jump, extent.size) == (2, 7)
    both = union([extent, slide(ONE_PIXEL, 3, 2, 1, 1)])
    assert both.axes[0] == AxisExtent(((-3, 4), (-3, 4)), 4)


def test_the_row_and_the_totals() -> None:
    layers = (conv("a", kernel=3, stride=2, padding=(1, 1)), Upsample(name="u", factor=2), conv("b", padding=(1, 1)))
    found, table = measure(plan_of(*layers)), rows(plan_of(*layers))
    assert [row.output_shape for row in table] == [(8, 4, 4), (8, 8, 8), (8, 8, 8)]
    # Outputs of b see two outputs of a, which are 2 px apart: 3 + 2.
    assert [row.receptive_field for row in table] == [3, 3, 5]
    assert (found.receptive_field, found.jump) == (5, 1)
    assert found.activations == 8 * (16 + 64 + 64)
    assert table[2].middle_field() == ((1, 6), (1, 6))


def test_branches_need_the_same_strides_over_factors() -> None:
    def merged(*first: Layer) -> Plan:
        branches = Sequence(name="one", layers=first), Sequence(name="two", layers=())
        return plan_of(Parallel(name="p", branches=branches, combine="add"))

    down_and_up = conv("a", kernel=2, stride=2), Upsample(name="u", factor=2)
    assert measure(merged(*down_and_up)).receptive_field == 2
    with pytest.raises(SpecError, match="cannot be added"):
        measure(merged(Upsample(name="u", factor=2)))


def test_a_residual_around_an_upsampling_has_a_shortcut_of_its_own() -> None:
    larger = {"upsample": 2}, {"conv": {"out": 8}}
    with pytest.raises(SpecError, match=r"cannot project to a map that is larger. Give the shortcut layers of its own"):
        lowered(*larger, residual="project")
    assert not any(isinstance(layer, Parallel) for layer in lowered(*larger, residual="if_same_shape"))
    (own,) = lowered(*larger, residual=[{"upsample": 2}])
    assert measure(plan_of(own)).output_shape == (8, 16, 16)
    # Up and down again: the map keeps its size.
    (same,) = lowered({"upsample": 2}, {"conv": {"stride": 2}}, residual="project")
    assert isinstance(same, Parallel)
    assert same.branches[1].layers == ()
    # Strides of 4 and a factor of 2 are a stride of 2.
    (half,) = lowered({"conv": {"stride": 4}}, {"upsample": 2}, residual="project")
    assert isinstance(half, Parallel)
    assert half.branches[1].layers[0] == conv("conv", kernel=1, stride=2)
    assert measure(plan_of(half)).output_shape == (8, 4, 4)


def test_on_one_value_both_modes_are_equal() -> None:
    def ends(mode: Any) -> str:
        pool = GlobalPool(name="p", kind="average")
        return design_id(
            plan_of(pool, Upsample(name="u", factor=4, mode=mode), Pool(name="q", kind="max", kernel=4, stride=4))
        )

    assert ends("nearest") == ends("bilinear")
    one, other = (plan_of(Upsample(name="u", factor=2, mode=mode)) for mode in ("nearest", "bilinear"))
    assert design_id(one) != design_id(other)


def test_a_decoder_concatenates_an_earlier_stage() -> None:
    block = {"options": {"stride": 1}, "layers": [{"conv": {"out": "out", "stride": "stride"}}, {"act": "relu"}]}
    up = {"layers": [{"conv": {"out": "out"}}, {"act": "relu"}, "upsample"]}
    arch = {
        "input": [3, 16, 16],
        "stages": {
            "top": {"block": block, "width": 8},
            "deep": {"block": block, "width": 16, "stride": 2},
            "up": {"block": up, "width": 8},
            "out": {"block": block, "width": 8, "from": "top"},
        },
        "head": {"classes": 4},
    }
    found = measure(lower(decode_design(arch, no_blocks)))
    # top 3, deep 3 + 2, up 5 + 4 = 9 at a jump of 2; out sees 3 px of the larger map: of two px that are 2 px apart.
    assert (found.receptive_field, found.jump) == (11, 1)
