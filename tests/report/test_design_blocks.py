"""The blocks of a design by name, also of those that came without one."""

from __future__ import annotations

import pytest
from trial_fakes import bare, trained

from archsearch.report.design_blocks import blocks_of, read_design, say_blocks


def test_blocks_without_a_name_are_recognised() -> None:
    expected = {"c1": "inverted", "c2": "inverted", "c3": "inverted", "c4": "depthwise"}
    assert blocks_of(trained(0, 0.5, "inverted")) == expected


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("{a: {block: mine}}", {"a": "mine"}),
        ("{a: {block: {layers: []}}}", {"a": "of its own"}),
        ("{a: {block: {name: mine, layers: []}}, 2: 3}", {"a": "mine", "2": "?"}),
        ("[1]", {}),
    ],
)
def test_designs_of_any_making(stages: str, expected: dict[str, str]) -> None:
    assert blocks_of(bare(0, design=f"stages: {stages}")) == expected


@pytest.mark.parametrize("design", [None, 3, "{", "- a", "&a [*a", "1990-99-99", "!!python/object:os.system {}"])
def test_what_is_no_design_has_no_blocks(design: object) -> None:
    assert read_design(bare(0, design=design)) is None
    assert blocks_of(bare(0, design=design)) == {}


def test_neighbours_that_share_a_block_are_told_together() -> None:
    assert say_blocks({"c1": "x", "c2": "x"}) == "x"
    assert say_blocks({"c1": "x", "c2": "x", "c3": "y", "c4": "x"}) == "c1-c2 x, c3 y, c4 x"
