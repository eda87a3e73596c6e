"""How a study stands: the same from its trials and from the tables."""

from __future__ import annotations

from foreign_studies import make_empty, make_foreign
from search_fakes import FakeTask, make_study, make_sweep

from archsearch.search.loop import work
from archsearch.search.storage.database import Store
from archsearch.search.storage.read import best_of, overview_of, read_study
from archsearch.search.storage.reader import open_reader


def test_trials_and_tables_say_the_same(store: Store) -> None:
    work(make_study(store), make_sweep(), FakeTask(most=20), seed=1)
    make_foreign(store)
    make_empty(store)
    found = open_reader().overviews()
    assert len(found) == 3
    assert found == [overview_of(read_study(store, one.name)) for one in found]
    ours, foreign, empty = found
    assert (ours.counts["complete"], ours.attrs["data"]) == (6, "shapes")
    assert ours.last is not None
    assert foreign.counts == {"complete": 2, "failed": 1, "running": 1, "waiting": 1}
    assert foreign.best is not None
    assert (foreign.best.number, foreign.best.front) == (0, 2)
    assert (empty.counts, empty.best, empty.last) == ({}, None, None)


def test_the_best_of_one_objective_is_alone() -> None:
    best = best_of({3: (0.5,), 4: (0.7,), 5: (0.7,)}, ["maximize"])
    assert best is not None
    assert (best.number, best.values, best.front) == (4, (0.7,), 2)
    assert best_of({}, ["maximize"]) is None
