"""Lowering: the numbers, names and structure that specs come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from archsearch.design.lower import lower
from archsearch.design.plan import Conv, GlobalPool, Layer, Linear, Parallel, Sequence
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design
from archsearch.errors import SpecError


def design(blocks: BlockLookup, **changes: Any) -> DesignSpec:
    stages = changes.pop("stages", {"c1": {"block": "plain", "width": 8}})
    return decode_design({"name": "a", "stages": stages, "head": {"classes": 10}, **changes}, blocks)


def convs(layers: tuple[Layer, ...]) -> list[Conv]:
    found: list[Conv] = []
    for layer in layers:
        if isinstance(layer, Conv):
            found.append(layer)
        elif isinstance(layer, Sequence):
            found += convs(layer.layers)
        elif isinstance(layer, Parallel):
            found += [conv for branch in layer.branches for conv in convs(branch.layers)]
    return found


def test_channels_flow_from_stem_to_head(blocks: BlockLookup) -> None:
    plan = lower(design(blocks, stem={"block": "plain", "out": 4}))
    assert [top.name for top in plan.layers] == ["stem", "stages", "head"]
    assert [(conv.in_channels, conv.out_channels) for conv in convs(plan.layers)] == [(3, 4), (4, 8)]
    assert plan.layers[-1].layers == (
        GlobalPool(name="pool", kind="average"),
        Linear(name="linear", in_features=8, out_features=10),
    )


def test_a_stages_stride_is_that_of_its_first_block(blocks: BlockLookup) -> None:
    plan = lower(design(blocks, stages={"c1": {"block": "plain", "width": 8, "repeats": 3, "stride": 2}}))
    assert [conv.stride for conv in convs(plan.layers)] == [2, 1, 1]


def test_no_repeats_is_no_stage(blocks: BlockLookup) -> None:
    plan = lower(
        design(
            blocks, stages={"c1": {"block": "plain", "width": 8}, "c2": {"block": "plain", "width": 99, "repeats": 0}}
        )
    )
    assert [conv.out_channels for conv in convs(plan.layers)] == [8]


@pytest.mark.parametrize(("width", "channels"), [(1.0, 10), (1.5, 16), (0.1, 8), (3, 32)])
def test_the_width_multiplies_in_multiples_of_the_divisor(blocks: BlockLookup, width: float, channels: int) -> None:
    plan = lower(design(blocks, stages={"c1": {"block": "plain", "width": 10}}, width=width))
    assert convs(plan.layers)[0].out_channels == channels


def test_fit_has_to_be_resolved_first(blocks: BlockLookup) -> None:
    with pytest.raises(SpecError, match=r"arch.width: 'fit' has no limits to fit to"):
        lower(design(blocks, width="fit"))


def test_a_head_without_linear_needs_as_many_channels_as_classes(blocks: BlockLookup) -> None:
    with pytest.raises(SpecError, match=r"last layer's 8 channels must be the 10 classes"):
        lower(design(blocks, head={"classes": 10, "linear": False}))


def test_a_misplaced_digit_is_no_endless_network(blocks: BlockLookup) -> None:
    with pytest.raises(SpecError, match=r"more than 4096 blocks"):
        lower(design(blocks, stages={"c1": {"block": "plain", "width": 8, "repeats": 100_000}}))


def test_what_a_block_cannot_work_out_is_told_with_its_stage(blocks: BlockLookup) -> None:
    def find(name: str) -> Mapping[str, Any]:
        return blocks(name) if name == "plain" else {"layers": [{"conv": {"out": "out / 3"}}]}

    stages = {"c1": {"block": "plain", "width": 8}, "c2": {"block": "thirds", "width": 8}}
    with pytest.raises(SpecError, match=r"^arch\.stages\.c2, block 'thirds'\.layers\[0\]\.conv\.out: 'out / 3' gives"):
        lower(design(find, stages=stages))
    with pytest.raises(SpecError, match=r"^arch\.stem, block 'thirds'"):
        lower(design(find, stem={"block": "thirds", "out": 8}))
    inline = {"c2": {"block": find("thirds"), "width": 8}}
    with pytest.raises(SpecError, match=r"^arch\.stages\.c2\.block\.layers\[0\]\.conv\.out: 'out / 3' gives"):
        lower(design(find, stages=inline))


@pytest.mark.parametrize(
    "layer", [{"pool": {"kind": "max", "kernel": 2}}, {"dropout": 0.1}, {"conv": {}, "name": "linear"}], ids=str
)
def test_a_layer_of_the_head_does_not_take_the_name_of_the_heads_own(blocks: BlockLookup, layer: Any) -> None:
    head = {"classes": 10, "dropout": 0.2, "layers": [layer]}
    with pytest.raises(SpecError, match=r"^arch\.head\.layers: the name '\w+' is taken by the head's own layer\. Give"):
        lower(design(blocks, head=head))
    lower(design(blocks, head={**head, "layers": [{**layer, "name": "before"}]}))
