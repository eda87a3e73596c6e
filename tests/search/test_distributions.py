"""Parameters as Optuna's distributions, and which assignments are points of a space."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from archsearch.search.storage.declarations import distribution_of
from archsearch.search.space import Choice, Range, Space, Value

SPACE = Space(
    parameters={
        "block": Choice(options=("normal", "dilated")),
        "width": Range(low=16, high=64, integer=True, step=8.0),
        "rate": Range(low=0.01, high=1.0, log=True),
    }
)


def test_a_space_as_optuna_takes_it() -> None:
    assert {name: distribution_of(one) for name, one in SPACE.parameters.items()} == {
        "block": CategoricalDistribution(("normal", "dilated")),
        "width": IntDistribution(16, 64, step=8),
        "rate": FloatDistribution(0.01, 1.0, log=True),
    }


@pytest.mark.parametrize(
    ("changes", "is_inside"),
    [
        ({}, True),
        ({"beside": 3}, True),
        ({"width": 20}, False),
        ({"width": 72}, False),
        ({"rate": 0.001}, False),
        ({"block": "strided"}, False),
        ({"width": "fit"}, False),
        ({"width": True}, False),
    ],
)
def test_assignments_are_a_point_or_not(changes: dict[str, Value], is_inside: bool) -> None:
    point: dict[str, Value] = {"block": "normal", "width": 24, "rate": 0.5}
    assert SPACE.point_of({**point, **changes}) == (point if is_inside else None)


def test_a_parameter_that_is_missing_makes_it_no_point() -> None:
    assert SPACE.point_of({"block": "normal", "width": 24}) is None
