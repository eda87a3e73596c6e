"""Sizes: what is larger than any network needs is refused at once, at its place, before it is made."""

from __future__ import annotations

from typing import Any

import pytest

from archsearch.analysis.measure import measure, measure_design
from archsearch.design.block import MAX_DEPTH, MAX_ITEMS, decode_block
from archsearch.design.lower import lower, lower_block, with_options
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design
from archsearch.errors import SpecError


def design(blocks: BlockLookup, **changes: Any) -> DesignSpec:
    stages = {"c1": {"block": "plain", "width": 8}}
    return decode_design({"stages": stages, "head": {"classes": 10}, **changes}, blocks)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([{"conv": {"out": 10**9}}], "layers[0].conv.out: '1000000000' gives 1000000000, must be at most 1000000"),
        ([{"conv": {"out": 10**400}}], "gives an integer of 333 hex digits, must be at most 1000000"),
        ([{"conv": {"out": 1e300}}], "gives 1e+300, must be at most 1000000"),
        ([{"conv": {"kernel": 4097}}], "layers[0].conv.kernel: must be at most 4096 px, got 4097"),
        ([{"conv": {"stride": 10**6}}], "layers[0].conv.stride: must be at most 4096 px"),
        ([{"conv": {"dilation": 10**6}}], "layers[0].conv.dilation: must be at most 4096 px"),
        ([{"conv": {"padding": 10**6}}], "layers[0].conv.padding: must be at most 4096 px"),
        ([{"pool": {"kernel": 5000}}], "layers[0].pool.kernel: must be at most 4096 px"),
        ([{"conv": {"bias": "act"}}], "layers[0].conv.bias: 'act' gives the string 'relu', must be true or false"),
        ([{"conv": {}, "when": "act"}], "layers[0].conv.when: 'act' gives the string 'relu', must be true or false"),
        ([{"act": "act * 2000000000"}], "layers[0].act.kind: 'act * 2000000000' mixes strings and numbers"),
        ([{"dropout": "(0-1)**0.5"}], "layers[0].dropout.rate: -1 ** 0.5 is not a real number"),
        ([{"conv": {"out": "*".join(["10**16"] * 12)}}], "is not a number from -1e18 to 1e18"),
        ([{"conv": 999983}, {"norm": {"kind": "group", "groups": 7}}], "are not divisible by 7 groups. Use groups=1."),
        (
            [{"parallel": {"branches": [[{"conv": {"out": 900_000}}], [{"conv": {"out": 900_000}}]]}}],
            "layers[0].parallel: gives 1800000 channels, at most 1000000 are allowed",
        ),
    ],
)
def test_a_number_that_no_layer_needs(layers: Any, message: str) -> None:
    block = with_options(decode_block({"options": {"act": "relu"}, "layers": layers}, "b"))
    with pytest.raises(SpecError) as caught:
        lower_block(block, 8, 8)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def nested(depth: int) -> Any:
    layers: Any = ["conv"]
    for _ in range(depth):
        layers = [{"residual": layers}]
    return layers


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"layers": ["conv"] * 3000}, f"b.layers: has 3000 layers, at most {MAX_ITEMS} are allowed"),
        (
            {"layers": [{"residual": ["conv"] * 600}, {"residual": ["conv"] * 600}]},
            f"b.layers: has 1206 layers, at most {MAX_ITEMS} are allowed",
        ),
        ({"layers": nested(MAX_DEPTH)}, f"lists of layers are nested more than {MAX_DEPTH} levels deep"),
        ({"layers": nested(5000)}, f"lists of layers are nested more than {MAX_DEPTH} levels deep"),
        ({"layers": [], "name": [1]}, "b.name: must be a string, got a list"),
        ({"layers": [], "name": "x" * 201}, "b.name: has 201 characters, at most 200 are allowed"),
        ({"layers": [], "options": {"if": 1}}, "b.options.if: is not a valid name for an option"),
        ({"layers": [], "options": {True: 1}}, "b.options.True: is not a valid name for an option"),
        ({"layers": [], "options": {"x": float("nan")}}, "b.options.x: must be finite, got nan"),
    ],
)
def test_a_block_that_is_too_large_or_of_wrong_types(raw: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode_block(raw, "b")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_block_as_deep_as_allowed_is_read() -> None:
    assert len(lower_block(with_options(decode_block({"layers": nested(MAX_DEPTH - 1)}, "b")), 8, 8)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 10**400}, "arch.width: must be "),
        ({"width": float("nan")}, "arch.width: must be above 0 and at most 64, got nan"),
        ({"input": [3, 10**9, 32]}, "arch.input: must be (channels, height, width) from 1 to 4096"),
        ({"name": {"a": 1}}, "arch.name: must be a string, got a mapping"),
        ({"stages": {"c1": {"block": "plain", "width": 8, "repeats": 10**9}}}, "repeats: must be at most 1000000"),
        ({"stages": {"c1": {"block": "plain", "width": 8, "repeats": 100_000}}}, "has more than 4096 blocks"),
        ({"stages": {"c1": {"block": "plain", "width": 8, "repeats": 2000}}}, "has more than 4096 layers"),
        (
            {"stages": {"c1": {"block": "plain", "width": 8, "kernel": float("inf")}}},
            "c1.kernel: must be finite, got inf",
        ),
        ({"stages": {"c1": {"block": [1, 2], "width": 8}}}, "c1.block: a block must be a mapping, got a list"),
    ],
)
def test_a_network_that_is_too_large_or_of_wrong_types(blocks: BlockLookup, changes: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        lower(design(blocks, **changes))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def test_strides_that_multiply_where_the_map_has_one_pixel(blocks: BlockLookup) -> None:
    stages = {f"c{index}": {"block": "plain", "width": 8, "stride": 4096} for index in range(1000)}
    made = design(blocks, stages=stages)
    plan = lower(made)
    for attempt in (lambda: measure(plan), lambda: measure_design(made, plan)):
        with pytest.raises(SpecError, match=r"multiply to a receptive field above 1000000000000 px"):
            attempt()
