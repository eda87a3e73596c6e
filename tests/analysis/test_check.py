"""The check and its message, word for word."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archsearch.analysis.check import check_design, refusal, require, say
from archsearch.analysis.limits import Limits, decode_limits
from archsearch.design.spec import BlockLookup, DesignSpec
from archsearch.errors import LimitError

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
                   fix: arch.stages.c3.dilation=3 gives 47 px at no parameter
                     or: arch.stages.c3.dilation=4 gives 59 px at no parameter
                     or: arch.stages.c3.repeats=5 gives 47 px at 27 840 more parameters
  parameters       35 642, must be below 30 000
                   fix: arch.symmetry=flip gives 17 826
                     or: arch.width=0.87 gives 22 250
                     or: arch.width=0.74 gives 18 546"""


def test_the_message_says_all_of_it(make_design: Make, shipped: BlockLookup) -> None:
    checked = check_design(make_design(), decode_limits(LIMITS), shipped)
    assert not checked.kept
    assert refusal(checked) == MESSAGE
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
    assert refusal(checked).endswith("must be below 10\n              no single change of a stage keeps it")


def test_fit_is_resolved(make_design: Make) -> None:
    checked = check_design(make_design(width="fit"), decode_limits({"parameters": {"below": 100_000}}))
    assert checked.kept
    assert checked.design.width != "fit"


def test_no_limits_are_always_kept(make_design: Make) -> None:
    assert check_design(make_design(), Limits()).kept


def test_margins_in_words(make_design: Make) -> None:
    limits = {
        "receptive_field": {"above": 3, "at_most": 99},
        "contains": ["dilated", "strided"],
        "forbids": ["strided"],
        "downsampling": {"layers": 9, "by": ["strided"]},
        "head": "global_max",
    }
    said = [say(margin) for margin in check_design(make_design(), decode_limits(limits)).margins]
    assert said == [
        "23 px, must be above 3 and at most 99",
        "lacks dilated",
        "has strided",
        "2 layers are strided, must be at least 9",
        "pools by global_average, must be global_max",
    ]
