"""What is there when a search has settled is left alone by the collector, until the search ends."""

from __future__ import annotations

import gc

import pytest

from archsearch.search.loop import _deferred_garbage_collection


def test_what_is_there_is_not_looked_at_again_within_the_block() -> None:
    before = gc.get_freeze_count()
    with _deferred_garbage_collection() as settle:
        assert gc.get_freeze_count() == before
        settle()
        once = gc.get_freeze_count()
        assert once > 1000
        later = [[] for _ in range(100)]
        settle()
        assert gc.get_freeze_count() == once
        assert any(each is later for each in gc.get_objects())
    assert gc.get_freeze_count() == 0


def test_an_error_ends_it_too() -> None:
    def work() -> None:
        with _deferred_garbage_collection() as settle:
            settle()
            raise ValueError("of the search")

    with pytest.raises(ValueError, match="of the search"):
        work()
    assert gc.get_freeze_count() == 0
