"""What one search asks for, and what makes it the same one again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from search_fakes import make_settings, make_sweep

from archsearch.errors import SpecError
from archsearch.search.space import Choice, Range, Space


def test_the_same_command_has_the_same_name_however_long_and_by_whom() -> None:
    sweep = make_sweep()
    assert make_sweep(make_settings("tpe", trials=99, workers=4)).name == sweep.name
    assert replace(sweep, fixed={"train.epochs": 4}).name != sweep.name
    assert replace(sweep, base=("block=dilated",)).name != sweep.name
    assert replace(sweep, base=("tracking=mlflow", "tracking.address=http://host")).name == sweep.name


def test_combinations_come_in_hydras_order() -> None:
    space = Space(parameters={"a": Choice(options=(1, 2)), "b": Range(low=3, high=4, integer=True)})
    found = [tuple(point.values()) for point in make_sweep(space=space).combinations()]
    assert found == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_a_space_without_parameters_is_one_combination() -> None:
    assert list(make_sweep(space=Space(parameters={})).combinations()) == [{}]


def test_a_continuum_has_no_combinations() -> None:
    sweep = make_sweep(space=Space(parameters={"rate": Range(low=0.1, high=1.0)}))
    with pytest.raises(SpecError, match="rate: is a continuum"):
        list(sweep.combinations())


def test_too_many_combinations_are_refused_with_the_way_out() -> None:
    space = Space(parameters={f"p{i}": Choice(options=tuple(range(10))) for i in range(6)})
    with pytest.raises(SpecError, match=r"1000000 combinations are too many.*sampler=footprint"):
        list(make_sweep(space=space).combinations())
