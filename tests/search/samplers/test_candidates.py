"""The pool screens every point of a small space once, and stores its designs as `Space.encode` encodes them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from archsearch.search.samplers.candidates import EncodedPoints, Pool
from archsearch.search.space import Choice, Design, Features, Params, Range, Space

SPACE = Space(
    parameters={
        "block": Choice(options=("normal", "dilated", "strided")),
        "width": Choice(options=(16, 32, 64)),
        "repeats": Range(low=1, high=4, integer=True),
    }
)
MIXED = Space(
    parameters={
        **SPACE.parameters,
        "learning_rate": Range(low=1e-3, high=1.0, log=True),
        "steps": Range(low=1, high=1_000_000, integer=True),
        "bias": Choice(options=(None, True, 0.5)),
    }
)


def test_points_are_stored_as_the_space_encodes_them() -> None:
    rng = np.random.default_rng(7)
    points = [MIXED.draw(rng) for _ in range(40)]
    points += [{name: value for name, value in point.items() if rng.random() < 0.6} for point in points]
    written = EncodedPoints(MIXED)
    for few in (points[:25], points[25:26], points[26:]):
        written.add(few)
    np.testing.assert_array_equal(written.encoded_MC(np.arange(len(points))), [MIXED.encode(point) for point in points])
    order = rng.permutation(len(points))[:30]
    written.keep(order)
    np.testing.assert_array_equal(
        written.encoded_MC(np.array([3, 0])), [MIXED.encode(points[order[3]]), MIXED.encode(points[order[0]])]
    )


def test_a_space_without_parameters_has_no_columns() -> None:
    written = EncodedPoints(Space(parameters={}))
    written.add([{}, {}])
    assert written.encoded_MC(np.arange(2)).shape == (2, 0)


def test_the_pool_enumerates_a_small_space_once_and_admits_every_point_once() -> None:
    asked: Counter[frozenset[object]] = Counter()

    def admit(params: Params) -> Features | None:
        asked[frozenset(params.items())] += 1
        return {"size": 1.0} if params["block"] != "dilated" else None

    pool, rng = Pool(SPACE, admit, capacity=100), np.random.default_rng(3)
    for _ in range(8):
        pool.screen(6, rng)
    assert len(asked) == 36
    assert set(asked.values()) == {1}
    assert len(pool) == 24
    assert pool.complete
    pool.vary([pool.design(index) for index in range(len(pool))], 50, rng)
    assert set(asked.values()) == {1}


def test_the_pool_removes_designs_that_are_not_kept() -> None:
    pool, rng = Pool(SPACE, lambda params: {}, capacity=100), np.random.default_rng(4)
    pool.screen(10, rng)
    first, third = pool.design(0), pool.design(2)
    pool.keep([2, 0])
    assert [pool.design(index) for index in range(len(pool))] == [third, first]
    np.testing.assert_array_equal(
        pool.encoded_MC(np.arange(2)), [SPACE.encode(third.params), SPACE.encode(first.params)]
    )


def test_mutations_of_an_unknown_design_are_screened() -> None:
    pool, rng = Pool(SPACE, lambda params: {}, capacity=100), np.random.default_rng(5)
    parent = Design(params=SPACE.at(0), features={})
    pool.vary([parent], 30, rng)
    assert 5 < len(pool) < 30


def test_features_that_a_design_lacks_are_0() -> None:
    def admit(params: Params) -> Features:
        return {"size": 2.0} if params["block"] == "normal" else {"depth": 3.0}

    pool, rng = Pool(SPACE, admit, capacity=100), np.random.default_rng(6)
    for count in (20, 16):
        pool.screen(count, rng)
        found_MF = pool.features_MF(["depth", "size", "unknown"], np.arange(len(pool)))
        designs = [pool.design(index) for index in range(len(pool))]
        wanted = [[0.0, 2.0, 0.0] if design.params["block"] == "normal" else [3.0, 0.0, 0.0] for design in designs]
        np.testing.assert_array_equal(found_MF, wanted)
        np.testing.assert_array_equal(pool.features_MF(["size"], np.arange(5, len(pool))), found_MF[5:, 1:2])
    assert pool.features == {"depth", "size"}
