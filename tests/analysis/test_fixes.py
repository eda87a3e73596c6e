"""Fixes: changes of strides, two changes together, and the gentle before the rough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from archsearch.analysis.check import Checked, check_design
from archsearch.analysis.limits import decode_limits
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design

Make = Callable[..., DesignSpec]
ENDS = {"head": {"classes": 10, "linear": False}}
"""A head whose classes are made by the last stage."""


def fixes_of(design: DesignSpec, limits: dict[str, Any], blocks: BlockLookup) -> tuple[str, ...]:
    (margin,) = [one for one in check_design(design, decode_limits(limits), blocks).margins if not one.kept]
    return margin.fixes


def after(design: DesignSpec, fix: str, limits: dict[str, Any], blocks: BlockLookup) -> Checked:
    """Return the check of the design with the overrides that `fix` begins with."""
    arch = yaml.safe_load(yaml.safe_dump(dict(design.source)))
    for change in fix.partition(" gives ")[0].split():
        key, _, value = change.partition("=")
        *path, last = key.split(".")[1:]
        inner = arch
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = yaml.safe_load(value)
    return check_design(decode_design(arch, blocks), decode_limits(limits))


def test_a_stride_can_make_the_receptive_field_large_enough(make_design: Make, shipped: BlockLookup) -> None:
    plain = {"options": {"stride": 1}, "layers": [{"conv": {"stride": "stride"}}, {"norm": "batch"}, {"act": "relu"}]}
    stages = {f"c{i}": {"block": plain, "width": 16, "repeats": 1 + i} for i in range(4)}
    design, limits = make_design(stages), {"receptive_field": {"above": 29}}
    found = fixes_of(design, limits, shipped)
    assert found[:2] == (
        "arch.stages.c2.stride=2 gives 33 px, same parameters",
        "arch.stages.c1.stride=2 gives 37 px, same parameters",
    )
    assert all(after(design, fix, limits, shipped).kept for fix in found)


def test_two_changes_are_tried_where_one_does_not_do(make_design: Make, shipped: BlockLookup) -> None:
    design = make_design()
    limits = {"receptive_field": {"above": 100}}
    found = fixes_of(design, limits, shipped)
    assert found
    assert all(fix.count("arch.stages.") == 2 for fix in found), found
    assert found[0].endswith("same parameters")
    assert all(after(design, fix, limits, shipped).kept for fix in found)


def test_three_max_pools_are_replaced_together(make_design: Make, shipped: BlockLookup) -> None:
    pooled = {"block": "normal", "width": 16, "repeats": 2, "entry": {"block": "max_pooled", "ceil_mode": True}}
    stages = {"c1": {"block": "normal", "width": 16}, **dict.fromkeys(("c2", "c3", "c4"), pooled)}
    design, limits = make_design(stages), {"receptive_field": {"above": 44}, "forbids": ["max_pool", "average_pool"]}
    found = fixes_of(design, limits, shipped)
    assert found[0].count("entry.block=strided") == 3
    assert after(design, found[0], limits, shipped).kept


def test_the_stem_is_changed_too(make_design: Make, shipped: BlockLookup) -> None:
    design = make_design(stem={"block": "max_pooled", "out": 8})
    found = fixes_of(design, {"forbids": ["max_pool"]}, shipped)
    assert found == ("arch.stem.block=normal", "arch.stem.block=strided")


@pytest.mark.parametrize("wanted", ["depthwise", "depthwise_separable"])
def test_no_depthwise_convolution_over_the_image_or_to_the_logits(
    make_design: Make, shipped: BlockLookup, wanted: str
) -> None:
    stages = {name: {"block": "normal", "width": 16} for name in ("c1", "c2", "c3")}
    stages["logits"] = {"block": "normal", "width": 10}
    found = fixes_of(make_design(stages, **ENDS), {"contains": [wanted]}, shipped)
    assert found == ("arch.stages.c3.block=depthwise", "arch.stages.c2.block=depthwise")


def test_a_dense_block_does_not_replace_an_efficient_one_where_a_number_would_do(
    make_design: Make, shipped: BlockLookup
) -> None:
    stages = {name: {"block": "depthwise", "width": 16, "stride": 2} for name in ("c1", "c2", "c3")}
    design = make_design(stages, stem={"block": "normal", "out": 16})
    for limits in ({"contains": ["dilated"]}, {"forbids": ["strided"]}):
        found = fixes_of(design, limits, shipped)
        assert found
        assert not any("block=" in fix for fix in found), found
    assert fixes_of(design, {"forbids": ["strided"]}, shipped) == (
        "arch.stages.c1.stride=1 arch.stages.c2.stride=1 arch.stages.c3.stride=1",
    )


def test_a_dropout_is_removed_everywhere(make_design: Make, shipped: BlockLookup) -> None:
    stages = {name: {"block": "normal", "width": 16, "dropout": 0.2} for name in ("c1", "c2")}
    found = fixes_of(make_design(stages), {"forbids": ["dropout"]}, shipped)
    assert found[0] == "arch.stages.c1.dropout=0 arch.stages.c2.dropout=0"
