"""A design written back is the same design, with nothing left to look up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from archsearch.design.canonical import design_id
from archsearch.design.export import self_contained
from archsearch.design.lower import lower
from archsearch.design.spec import BlockLookup, decode_design
from archsearch.errors import SpecError


def nothing(name: str) -> Mapping[str, Any]:
    raise SpecError("block", f"'{name}' was looked up")


def test_the_way_through_yaml_gives_the_same_network(blocks: BlockLookup) -> None:
    entry = {"block": "plain", "kernel": 5}
    stages = {"c1": {"block": "plain", "width": 20, "repeats": 2, "stride": 2, "entry": entry}}
    head = {"classes": 7, "layers": [{"conv": {"out": 16, "kernel": 1}}], "dropout": 0.1}
    raw = {"name": "a", "stem": {"block": "plain", "out": 12}, "stages": stages, "head": head, "width": 1.7}
    design = decode_design(raw, blocks)
    again = decode_design(yaml.safe_load(yaml.safe_dump(self_contained(design))), nothing)
    assert lower(again) == lower(design)
    assert design_id(lower(again)) == design_id(lower(design))
    assert (again.name, again.width, again.divisor) == ("a", 1.7, 8)
    assert again.stages[0].use.block.name == "plain"
