"""Parameters draw, mutate and encode their values; points of a space."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from archsearch.search.space import Choice, Range, Space

SPACE = Space(
    parameters={
        "block": Choice(options=("normal", "dilated", "strided")),
        "width": Choice(options=(16, 32, 64)),
        "repeats": Range(low=1, high=4, integer=True),
    }
)
RANGES = [
    Range(low=0.0, high=2.0),
    Range(low=1e-4, high=1.0, log=True),
    Range(low=1, high=7, integer=True),
    Range(low=1, high=512, integer=True, log=True),
    Range(low=8, high=64, integer=True, step=8),
    Range(low=0.1, high=0.5, step=0.1),
    Range(low=3, high=3, integer=True),
]


@pytest.mark.parametrize("parameter", RANGES)
def test_a_range_draws_and_mutates_within_its_bounds_and_on_its_grid(parameter: Range) -> None:
    rng = np.random.default_rng(0)
    drawn = [parameter.draw(rng) for _ in range(300)]
    mutated = [parameter.mutate(value, rng) for value in drawn]
    for value in [*drawn, *mutated]:
        assert isinstance(value, int if parameter.integer else float)
        assert parameter.low <= value <= parameter.high
    if parameter.size is not None:
        every = {parameter.at(index) for index in range(parameter.size)}
        assert set(drawn) <= every
        assert set(mutated) <= every
        if not parameter.log:
            assert set(drawn) == every


def test_a_grid_ends_at_its_last_step_within_the_range() -> None:
    grid = Range(low=0.1, high=0.45, step=0.1)
    assert [grid.at(index) for index in range(grid.size or 0)] == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("parameter", RANGES[:2])
def test_a_range_is_encoded_with_mean_0_and_variance_1_on_its_own_scale(parameter: Range) -> None:
    rng = np.random.default_rng(1)
    codes = np.array([parameter.encode(parameter.draw(rng))[0] for _ in range(4000)])
    assert codes.mean() == pytest.approx(0.0, abs=0.06)
    assert codes.std() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("options", [(1, 2, 4, 8), ("a", "b"), ("a", "b", "c"), (True, False), (None, 1.0, 2.0)])
def test_options_are_encoded_with_mean_0_and_variance_1(options: tuple[str | float | None, ...]) -> None:
    choice = Choice(options=options)
    codes = np.array([choice.encode(option) for option in options])
    assert codes.shape == (len(options), choice.columns)
    np.testing.assert_allclose(codes.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(codes.std(axis=0), 1.0)


def test_numbers_are_ordered_and_names_are_not() -> None:
    assert Choice(options=(64, 16, 32)).encode(16) < Choice(options=(64, 16, 32)).encode(32)
    assert Choice(options=(1, 2, 4)).columns == 1
    assert Choice(options=("1", "2", "4")).columns == 3


def test_a_mutation_changes_one_or_two_parameters() -> None:
    rng = np.random.default_rng(2)
    parent = SPACE.draw(rng)
    changes = Counter(
        sum(child[name] != parent[name] for name in parent) for child in (SPACE.mutate(parent, rng) for _ in range(200))
    )
    assert set(changes) <= {0, 1, 2}
    assert changes[1] > 20
    assert changes[2] > 20


def test_an_inactive_parameter_is_encoded_as_the_middle() -> None:
    assert SPACE.encode({"width": 32}) == [0.0] * len(SPACE.groups)


def test_points_of_a_finite_space_are_numbered_once_each() -> None:
    assert SPACE.size == 36
    assert len({tuple(SPACE.at(index).items()) for index in range(36)}) == 36
    assert Space(parameters={"rate": Range(low=0.0, high=1.0)}).size is None


def test_a_key_gives_its_point_back() -> None:
    for point in ({"block": "normal", "width": 16, "repeats": 2}, {"width": 64}, {}):
        assert SPACE.point(SPACE.key(point)) == point
    assert SPACE.key({"width": 16}) != SPACE.key({"width": 32})
