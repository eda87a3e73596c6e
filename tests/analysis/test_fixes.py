"""Fixes hold: each one, applied as a user would apply it, keeps the limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from archsearch.analysis.check import check_design
from archsearch.analysis.fixes import MOST, number
from archsearch.analysis.limits import decode_limits
from archsearch.cli.compose import Composer
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design

Make = Callable[..., DesignSpec]


def applied(source: dict[str, Any], fix: str, blocks: BlockLookup) -> DesignSpec:
    """Return the design after the overrides that `fix` begins with."""
    arch = yaml.safe_load(yaml.safe_dump(source))
    for change in fix.partition(" gives ")[0].split():
        key, _, value = change.partition("=")
        *path, last = key.split(".")[1:]
        inner = arch
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = yaml.safe_load(value)
    return decode_design(arch, blocks)


BROKEN: list[dict[str, Any]] = [
    {"receptive_field": {"above": 44}},
    {"receptive_field": {"above": 50}},
    {"receptive_field": {"below": 23}},
    {"parameters": {"below": 20_000}},
    {"macs": {"below": 3_000_000}},
    {"peak_bytes": {"at_most": 65_536}},
    {"contains": ["dilated"]},
    {"contains": ["depthwise_separable", "dilated"]},
    {"forbids": ["strided"]},
    {"downsampling": {"layers": 3, "by": ["strided"]}},
    {"downsampling": {"layers": 3, "by": ["dilated", "strided"]}},
    {"head": "global_max"},
]


@pytest.mark.parametrize("limits", BROKEN, ids=str)
def test_every_fix_keeps_its_limit(make_design: Make, shipped: BlockLookup, limits: dict[str, Any]) -> None:
    design = make_design()
    (margin,) = check_design(design, decode_limits(limits), shipped).margins
    assert not margin.kept
    assert len(margin.fixes) <= MOST
    if limits != {"forbids": ["strided"]}:
        assert margin.fixes
    for fix in margin.fixes:
        (after,) = check_design(applied(dict(design.source), fix, shipped), decode_limits(limits)).margins
        assert after.kept, fix
        if " gives " in fix:
            assert fix.partition(" gives ")[2].startswith(number(after.found))


def test_the_gentlest_fix_comes_first(make_design: Make, shipped: BlockLookup) -> None:
    limits = decode_limits({"receptive_field": {"above": 44}, "parameters": {"below": 100_000}})
    margin = check_design(make_design(), limits, shipped).margins[0]
    assert margin.fixes[0] == "arch.stages.c3.dilation=3 gives 47 px at no parameter"


def test_no_fix_is_better_than_one_that_does_not_hold(make_design: Make, shipped: BlockLookup) -> None:
    margin = check_design(make_design(), decode_limits({"parameters": {"below": 10}}), shipped).margins[0]
    assert margin.fixes == ()


def test_a_fix_is_an_override_that_the_command_takes() -> None:
    composer = Composer(["arch=resnet20"])
    tree = composer.compose({})
    checked = check_design(
        decode_design(tree["arch"], composer.blocks), decode_limits(tree["constraints"]), composer.blocks
    )
    broken = {margin.limit: margin for margin in checked.margins if not margin.kept}
    fix = broken["parameters"].fixes[0]
    key, _, value = fix.partition(" gives ")[0].partition("=")
    after = decode_design(composer.compose({key: yaml.safe_load(value)})["arch"], composer.blocks)
    (margin,) = check_design(after, decode_limits({"parameters": {"below": 200_000}})).margins
    assert margin.kept


def test_numbers_are_grouped() -> None:
    assert [number(value) for value in (999, 231402, 1234567)] == ["999", "231 402", "1 234 567"]
