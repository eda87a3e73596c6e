"""Declarations are only widened, and options keep their place; parameters as Optuna's distributions."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from archsearch.search.space import Choice, Range, Space, Value
from archsearch.search.storage.declarations import Declaration, distribution_of, of_parameter, of_value, widened


def widen(*values: Value) -> Declaration | None:
    found: Declaration | None = None
    for value in values:
        found = widened(found, of_value(value))
    return found


def test_options_keep_their_place() -> None:
    found = widen("normal", "dilated", "normal", None)
    assert found is not None
    assert found.options == ("normal", "dilated", None)
    assert [found.internal(one) for one in found.options] == [0, 1, 2]


def test_numbers_widen_to_their_range() -> None:
    assert widen(3, 1) == Declaration(kind="integer", low=1, high=3)
    assert widen(3, 0.5) == Declaration(kind="number", low=0.5, high=3)


def test_a_range_and_a_text_have_no_common_declaration() -> None:
    assert widen(3, "fit") is None


def test_numbers_join_the_options_of_a_choice() -> None:
    found = widened(of_parameter(Choice(options=(1, 2))), of_value(4))
    assert found is not None
    assert found.options == (1, 2, 4)
    assert found.admits(4)
    assert not found.admits(3)


def test_true_is_not_one() -> None:
    choice = of_parameter(Choice(options=(1, 2)))
    assert not choice.admits(True)
    assert of_value(True).options == (False, True)


def test_a_logarithmic_range_stays_one_above_zero() -> None:
    log = of_parameter(Range(low=0.1, high=1, log=True))
    above, below = widened(log, of_value(2.0)), widened(log, of_value(0.0))
    assert above is not None
    assert below is not None
    assert above.log
    assert not below.log


@pytest.mark.parametrize("value", ["a", 3, 0.5, None, True])
def test_a_declaration_survives_json(value: Value) -> None:
    found = of_value(value)
    assert Declaration.from_json(found.as_json()) == found
    assert found.distribution().to_external_repr(found.internal(value)) == value


SPACE = Space(
    parameters={
        "block": Choice(options=("normal", "dilated")),
        "width": Range(low=16, high=64, integer=True, step=8.0),
        "rate": Range(low=0.01, high=1.0, log=True),
    }
)


def test_a_space_as_distributions() -> None:
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
def test_assignments_are_a_point_of_the_space_or_not(changes: dict[str, Value], is_inside: bool) -> None:
    point: dict[str, Value] = {"block": "normal", "width": 24, "rate": 0.5}
    assert SPACE.point_of({**point, **changes}) == (point if is_inside else None)


def test_assignments_without_a_parameter_are_no_point() -> None:
    assert SPACE.point_of({"block": "normal", "width": 24}) is None
