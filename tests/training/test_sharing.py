"""Maps that share memory: never two that are needed at once, and the same values after it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from archsearch.training.sharing import share_memory, storages_of

LARGE = 32 * 1024  # floats


class Sum:
    """A call that writes the sum of `terms` into `result`."""

    def __init__(self, result: Tensor, *terms: Tensor) -> None:
        self.result, self.terms, self.places = result, terms, 0

    def __call__(self) -> None:
        self.result.copy_(sum(self.terms))  # type: ignore[arg-type]

    def tensors(self) -> Iterable[Tensor]:
        return (self.result, *self.terms)

    def moved(self) -> None:
        self.places = self.result.data_ptr()


def chain(first: Tensor, length: int) -> tuple[list[Tensor], list[Sum]]:
    """Return maps each of which is the one before it plus `first`."""
    maps = [torch.empty(LARGE) for _ in range(length)]
    return maps, [Sum(own, before, first) for own, before in zip(maps, [first, *maps], strict=False)]


def test_a_chain_takes_two_maps_in_turn() -> None:
    first = torch.randn(LARGE)
    maps, calls = chain(first, 8)
    share_memory(calls, storages_of(maps), storages_of([maps[-1]]))
    assert len(storages_of(maps)) == 3  # the last is kept, and is nobody else's
    for _ in range(2):
        for call in calls:
            call()
        torch.testing.assert_close(maps[-1], 9 * first)
    assert all(call.places == call.result.data_ptr() for call in calls)


def test_views_move_with_their_map() -> None:
    first = torch.randn(LARGE)
    maps, calls = chain(first, 6)
    half = maps[4][LARGE // 2 :]
    result = torch.empty(LARGE // 2)
    calls.append(Sum(result, half))
    share_memory(calls, storages_of(maps), frozenset())
    for call in calls:
        call()
    assert half.untyped_storage().data_ptr() == maps[4].untyped_storage().data_ptr()
    torch.testing.assert_close(result, 6 * first[LARGE // 2 :])


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_kept_small_or_not_its_own_stays_where_it_is(kept: bool) -> None:
    first, small = torch.randn(LARGE), [torch.empty(4) for _ in range(3)]
    maps, calls = chain(first, 4)
    calls += [Sum(own, first[:4]) for own in small]
    before = [one.data_ptr() for one in (*maps, *small)]
    share_memory(
        calls, storages_of([*maps, *small]) if kept else frozenset(), storages_of(maps) if kept else frozenset()
    )
    assert [one.data_ptr() for one in (*maps, *small)] == before


def test_random_programs_give_what_they_gave() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        given = [torch.randn(LARGE, generator=generator) for _ in range(2)]
        maps, calls = list(given), []
        for _ in range(12):
            terms = [maps[int(i)] for i in torch.randint(len(maps), (2,), generator=generator)]
            size = LARGE if torch.rand(1, generator=generator) < 0.7 else 2 * LARGE
            maps.append(torch.empty(size)[:LARGE])
            calls.append(Sum(maps[-1], *terms))
        for call in calls:
            call()
        expected = [maps[-1].clone(), maps[-2].clone()]
        own = maps[2:]
        share_memory(calls, storages_of(own), storages_of(maps[-2:]))
        assert len(storages_of(own)) < len(own)
        for one in own[:-2]:
            one.fill_(torch.nan)  # whoever reads what was not written again would show it
        for call in calls:
            call()
        assert torch.equal(maps[-1], expected[0])
        assert torch.equal(maps[-2], expected[1])
