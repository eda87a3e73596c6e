"""Limits and the signed margins that designs have to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from archsearch.analysis.limits import Limits, Margin, decode_limits, margin_record, margins, margins_text
from archsearch.analysis.measure import measure
from archsearch.design.lower import lower
from archsearch.design.spec import DesignSpec
from archsearch.errors import SpecError

Make = Callable[..., DesignSpec]


def found(design: DesignSpec, **limits: Any) -> dict[str, Margin]:
    plan = lower(design)
    return {margin.limit: margin for margin in margins(plan, measure(plan), decode_limits(limits))}


def test_the_number_of_kept_limits_as_text(make_design: Make) -> None:
    kept, broken = {"receptive_field": {"above": 22}}, {"parameters": {"below": 10}}
    for limits, text in (
        ({}, "no limits"),
        (kept, "keeps the limit"),
        (broken, "breaks 1 of 1 limit"),
        (kept | {"macs": {"above": 1}}, "keeps all 2 limits"),
        (kept | broken, "breaks 1 of 2 limits"),
    ):
        assert margins_text(list(found(make_design(), **limits).values())) == text


@pytest.mark.parametrize(
    ("bound", "kept"),
    [
        ({"above": 23}, False),
        ({"above": 22}, True),
        ({"at_least": 23}, True),
        ({"at_least": 24}, False),
        ({"below": 23}, False),
        ({"at_most": 23}, True),
        ({"above": 10, "below": 20}, False),
        ({"above": 10, "below": 40}, True),
    ],
)
def test_bounds_are_strict_or_not_as_their_names_say(make_design: Make, bound: dict[str, float], kept: bool) -> None:
    margin = found(make_design(), receptive_field=bound)["receptive_field"]
    assert margin.found == 23
    assert margin.kept is kept
    assert margin.bound == bound
    assert (margin.excess == 0) is kept


def test_slack_is_signed_and_relative(make_design: Make) -> None:
    parameters = measure(lower(make_design())).parameters
    assert found(make_design(), parameters={"below": 2 * parameters})["parameters"].slack == pytest.approx(0.5)
    broken = found(make_design(), parameters={"below": parameters / 2})["parameters"]
    assert broken.slack == pytest.approx(-1.0)
    assert broken.excess == pytest.approx(1.0)


def test_a_strict_bound_that_is_met_exactly_is_broken_with_an_excess(make_design: Make) -> None:
    margin = found(make_design(), receptive_field={"above": 23})["receptive_field"]
    assert (margin.kept, margin.slack) == (False, 0.0)
    assert margin.excess > 0


def test_only_limits_that_are_set_have_margins(make_design: Make) -> None:
    assert found(make_design(), macs=None, parameters=None) == {}
    every = {"receptive_field": {"above": 1}, "contains": ["strided"], "forbids": [], "head": "global_average"}
    assert list(found(make_design(), **every)) == ["receptive_field", "contains", "forbids", "head"]


def test_structure(make_design: Make) -> None:
    got = found(
        make_design(),
        contains=["strided", "dilated"],
        forbids=["max_pool"],
        downsampling={"layers": 3},
        head="global_max",
    )
    got["forbids"] = found(make_design(), forbids=["strided", "max_pool"])["forbids"]
    assert (got["contains"].found, got["contains"].slack) == (["strided"], -1)
    assert (got["forbids"].found, got["forbids"].kept) == (["strided"], False)
    assert (got["downsampling"].found, got["downsampling"].kept) == (2, False)
    assert got["downsampling"].slack == pytest.approx(-1 / 3)
    assert (got["head"].found, got["head"].kept) == ("global_average", False)


@pytest.mark.parametrize(("by", "count"), [(["strided"], 2), (["dilated"], 0), (["strided", "dilated"], 2)])
def test_downsampling_counts_the_ways_that_are_asked(make_design: Make, by: list[str], count: int) -> None:
    assert found(make_design(), downsampling={"layers": 2, "by": by})["downsampling"].found == count


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"parameter": {"below": 3}}, "constraints.parameter: unknown key for the limits. Did you mean 'parameters'?"),
        ({"parameters": {}}, "constraints.parameters: no bound given. Give above, below, at_least or at_most"),
        ({"parameters": {"under": 3}}, "constraints.parameters.under: unknown key for parameters. Known: above"),
        ({"parameters": {"below": "3"}}, "constraints.parameters.below: must be a number"),
        ({"parameters": 200000}, "constraints.parameters: must be a mapping, got 200000"),
        ({"contains": "dilated"}, "constraints.contains: must be a list of depthwise, "),
        (
            {"contains": ["dilatd"]},
            "constraints.contains[0]: unknown value 'dilatd'. Did you mean 'dilated'?",
        ),
        ({"head": "global"}, "constraints.head: 'global' is not one of global_average, global_max, none"),
        ({"downsampling": {"layers": 3, "by": []}}, "constraints.downsampling.by: must name strided, dilated or both"),
        ({"downsampling": {"by": ["strided"]}}, "constraints.downsampling.layers: missing key"),
        ([], "constraints: must be a mapping, got a list"),
    ],
)
def test_messages(raw: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode_limits(raw)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"parameters": {"below": 1000, "above": 5000}},
            "constraints.parameters: no design keeps it: above 5 000 and below 1 000. Change one of the bounds.",
        ),
        ({"macs": {"at_most": 4, "above": 4}}, "constraints.macs: no design keeps it: above 4 and at most 4"),
        ({"macs": {"at_most": 5, "above": 4.5, "below": 5}}, "no design keeps it: above 4.5 and below 5 and at most 5"),
        ({"macs": {"above": 4, "below": 5}}, "no design keeps it: above 4 and below 5"),
        ({"macs": {"at_least": 4.2, "at_most": 4.8}}, "no design keeps it: at least 4.2 and at most 4.8"),
        ({"receptive_field": {"below": 0}}, "constraints.receptive_field: no design keeps it: below 0"),
        (
            {"contains": ["dilated", "strided"], "forbids": ["max_pool", "strided"]},
            "constraints.forbids: no design keeps it: contains has strided, and forbids has strided. Remove one of",
        ),
        (
            {"contains": ["depthwise_separable"], "forbids": ["pointwise", "depthwise"]},
            "contains has depthwise_separable, and forbids has depthwise, pointwise",
        ),
        (
            {"downsampling": {"layers": 1, "by": ["dilated"]}, "forbids": ["dilated"]},
            "constraints.forbids: no design keeps it: downsampling asks for layers that are dilated",
        ),
        ({"macs": {"below": float("nan")}}, "constraints.macs.below: must be from -1e+18 to 1e+18, got nan"),
        ({"macs": {"below": float("inf")}}, "constraints.macs.below: must be from -1e+18 to 1e+18, got inf"),
        (
            {"macs": {"below": 10**400}},
            "constraints.macs.below: must be an integer of at most 9223372036854775807",
        ),
        ({"downsampling": {"layers": -1}}, "constraints.downsampling.layers: must be at least 0, got -1"),
    ],
)
def test_limits_that_no_design_keeps_are_an_error(raw: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode_limits(raw)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        {"macs": {"above": 4, "at_most": 5, "below": 5.5}},
        {"macs": {"at_least": 4, "at_most": 4}},
        {"contains": ["dilated"], "forbids": ["strided"], "downsampling": {"layers": 1}},
        {"forbids": ["strided", "dilated"], "downsampling": {"layers": 0}},
    ],
    ids=str,
)
def test_limits_that_some_design_may_keep_are_none(raw: Any) -> None:
    assert decode_limits(raw) != Limits()


def test_no_limits() -> None:
    assert decode_limits(None) == Limits()


def test_the_record_has_the_contracts_keys(make_design: Make) -> None:
    record = margin_record(found(make_design(), receptive_field={"above": 44})["receptive_field"])
    assert record.keys() >= {"limit", "bound", "found", "kept", "fixes"}
    assert (record["limit"], record["bound"], record["found"], record["kept"]) == (
        "receptive_field",
        {"above": 44},
        23,
        False,
    )
