"""Repairs: what is left out could not have kept the limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from archsearch.analysis.check import Checked, check_design
from archsearch.analysis.limits import decode_limits
from archsearch.analysis.repairs import DILATIONS, changes, may_repair
from archsearch.cli.compose import Composer
from archsearch.design.spec import BlockReader, decode_design
from hydra_plugins.archsearch_sweeper._grammar import read_request


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(["data=shapes"])


def checked(composer: Composer, assignments: Mapping[str, Any], above: int) -> Checked:
    tree = composer.compose(assignments)
    design = decode_design(tree["arch"], BlockReader(composer.blocks))
    return check_design(design, decode_limits({**tree["constraints"], "receptive_field": {"above": above}}))


def test_only_changes_that_cannot_reach_the_receptive_field_are_left_out(composer: Composer) -> None:
    kinds = {
        "block": "choice(normal, depthwise, inverted, blueprint)",
        "repeats": "range(1, 5)",
        "kernel": "choice(3, 5)",
    }
    space = {f"arch.stages.{stage}.{key}": each for stage in ("c1", "c2", "c3") for key, each in kinds.items()}
    space |= {"arch.stages.c4.dilation": "choice(2, 3)", "arch.stages.c4.kernel": "choice(3, 5)"}
    request, rng = read_request([], space), np.random.default_rng(0)
    looked_at = left_out = 0
    for _ in range(12):
        point = {**request.space.draw(rng), "arch.width": "fit"}
        first = checked(composer, point, 150)
        if not may_repair(first):
            continue
        offered = list(changes(first))
        for stage in first.design.stages:
            there = stage.use.options.get("dilation", stage.use.block.defaults["dilation"])
            assert isinstance(there, int)
            for dilation in (each for each in DILATIONS if each > there):
                change = {f"arch.stages.{stage.name}.dilation": dilation}
                again = checked(composer, {**point, **change}, 150)
                field = next(margin for margin in again.margins if margin.limit == "receptive_field")
                assert field.kept == (change in offered), change
                looked_at, left_out = looked_at + 1, left_out + (not field.kept)
    assert 0 < left_out < looked_at


def test_an_entry_with_a_dilation_of_its_own_keeps_it(composer: Composer) -> None:
    entry = {"block": "strided", "dilation": 2}
    first = checked(composer, {"arch.stages.c2.repeats": 1, "arch.stages.c2.entry": entry}, 140)
    offered = [change for change in changes(first) if "arch.stages.c2.dilation" in change]
    for dilation in DILATIONS:
        change = {"arch.stages.c2.dilation": dilation}
        field = checked(composer, {"arch.stages.c2.repeats": 1, "arch.stages.c2.entry": entry, **change}, 140).footprint
        assert (field.receptive_field > 140) == (change in offered)


def test_an_upper_limit_is_not_repaired(composer: Composer) -> None:
    assert not may_repair(checked(composer, {"arch.stages.c3.width": 512}, 44))
