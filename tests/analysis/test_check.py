"""The check and its message, word for word; every fix keeps its limit when a user applies it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from archsearch.analysis import check as check_module
from archsearch.analysis.check import MAX_FIXES, broken_limits_text, check_design, require
from archsearch.analysis.limits import Limits, decode_limits, margin_text
from archsearch.cli.compose import Composer
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design
from archsearch.errors import LimitError
from archsearch.formatting import number

Make = Callable[..., DesignSpec]

LIMITS = {
    "receptive_field": {"above": 44},
    "parameters": {"below": 30_000},
    "contains": ["strided"],
    "forbids": ["max_pool"],
    "downsampling": {"layers": 2},
    "head": "global_average",
}

MESSAGE = """\
arch 'small' breaks 2 of 6 limits
  receptive_field  23 px, must be above 44   (grows 5 > 11 > 23 over c1 c2 c3)
                   fix: arch.stages.c3.dilation=3 gives 47 px, same parameters
                     or: arch.stages.c3.dilation=4 gives 59 px, same parameters
                     or: arch.stages.c3.repeats=5 gives 47 px, 27 840 more parameters
  parameters       35 642, must be below 30 000
                   fix: arch.symmetry=flip gives 17 826
                     or: arch.width=0.87 gives 22 250
                     or: arch.width=0.74 gives 18 546"""


def test_the_message_says_all_of_it(make_design: Make, shipped: BlockLookup) -> None:
    checked = check_design(make_design(), decode_limits(LIMITS), shipped)
    assert not checked.kept
    assert broken_limits_text(checked) == MESSAGE
    with pytest.raises(LimitError) as caught:
        require(checked)
    assert str(caught.value) == MESSAGE
    assert caught.value.exit_code == 2


def test_a_design_that_keeps_its_limits_passes(make_design: Make) -> None:
    checked = check_design(make_design(), decode_limits({"receptive_field": {"above": 3}}))
    assert checked.kept
    require(checked)
    assert len(checked.design_id) == 16


def test_without_blocks_no_fixes_are_tried(make_design: Make) -> None:
    assert check_design(make_design(), decode_limits(LIMITS)).margins[0].fixes == ()


def test_where_nothing_helps_it_says_so(make_design: Make, shipped: BlockLookup) -> None:
    checked = check_design(make_design(), decode_limits({"parameters": {"below": 10}}), shipped)
    last = "none of the changes of one or two settings that were tried keeps it"
    assert broken_limits_text(checked).endswith(f"must be below 10\n              {last}")


def test_fit_is_resolved(make_design: Make) -> None:
    checked = check_design(make_design(width="fit"), decode_limits({"parameters": {"below": 100_000}}))
    assert checked.kept
    assert checked.design.width != "fit"


def test_no_limits_are_always_kept(make_design: Make) -> None:
    assert check_design(make_design(), Limits()).kept


def test_margins_in_words(make_design: Make) -> None:
    limits = {
        "receptive_field": {"above": 3, "at_most": 99},
        "contains": ["dilated", "pointwise"],
        "forbids": ["strided"],
        "downsampling": {"layers": 9, "by": ["strided", "dilated"]},
        "head": "global_max",
    }
    texts = [margin_text(margin) for margin in check_design(make_design(), decode_limits(limits)).margins]
    assert texts == [
        "23 px, must be above 3 and at most 99",
        "lacks dilated, pointwise",
        "has strided",
        "2 strided or dilated layers, must be at least 9",
        "global_average, must be global_max",
    ]


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
    assert len(margin.fixes) <= MAX_FIXES
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
    assert margin.fixes[0] == "arch.stages.c3.dilation=3 gives 47 px, same parameters"


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


def test_a_stage_that_goes_on_at_one_pixel_is_a_notice(make_design: Make) -> None:
    stages = {
        "c1": {"block": "normal", "width": 8, "stride": 8},
        "c2": {"block": "normal", "width": 8, "stride": 4},
        "c3": {"block": "squeeze_excite", "width": 8, "kernel": 5},
        "c4": {"block": "normal", "width": 8, "kernel": 1},
    }
    (notice,) = check_design(make_design(stages), Limits()).notices
    assert notice.startswith("stage c3: its 5 x 5 convolutions see a map of 1 x 1 and padding; use fewer")
    stages["c2"]["stride"] = 2
    stages["c4"]["kernel"] = 3
    assert check_design(make_design(stages), Limits()).notices == ()


def test_of_a_huge_design_fewer_changes_are_tried(
    make_design: Make, shipped: BlockLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    real = check_module.decode_design

    def counted(source: Any, blocks: BlockLookup) -> DesignSpec:
        tried.append(source)
        return real(source, blocks)

    monkeypatch.setattr(check_module, "decode_design", counted)
    design = make_design({f"c{index}": {"block": "normal", "width": 8} for index in range(500)})
    checked = check_design(design, decode_limits({"receptive_field": {"above": 9999}}), shipped)
    assert not checked.kept
    assert 3 <= len(tried) <= check_module.MOST_WORK // 500


def test_names_of_blocks_mean_in_a_fix_what_they_mean_in_the_design(shipped: BlockLookup) -> None:
    own = {"options": {"kernel": 3}, "layers": [{"conv": {"kernel": "kernel"}}]}
    stages = {"c1": {"block": "own", "width": 8}, "c2": {"block": {**own, "name": "normal"}, "width": 8}}
    raw = {"name": "a", "stages": stages, "head": {"classes": 4}}
    design = decode_design(raw, lambda name: own if name == "own" else shipped(name))
    (margin,) = check_design(design, decode_limits({"receptive_field": {"above": 6}}), shipped).margins
    assert margin.fixes[0] == "arch.stages.c1.kernel=5 gives 7 px, 384 more parameters"
