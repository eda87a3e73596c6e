"""Plain SQL reads what Optuna reads."""

from __future__ import annotations

import math

import pytest
from foreign_studies import HOSTILE, make_foreign
from search_fakes import FakeTask, make_study, make_sweep

from archsearch.errors import SpecError
from archsearch.search.loop import work
from archsearch.search.storage.database import Store
from archsearch.search.storage.queries import select_names, select_study, select_versions
from archsearch.search.storage.read import read_study
from archsearch.search.storage.readonly import run_query
from archsearch.search.storage.url import parse_address

ADDRESS = parse_address("sqlite:///outputs/studies.db")


def test_our_own_studies(store: Store) -> None:
    study = make_study(store, ("accuracy", "macs"))
    work(study, make_sweep(), FakeTask(most=20), seed=1)
    assert run_query(ADDRESS, lambda ask: select_study(ask, study.name)) == read_study(store, study.name)


def test_studies_of_others(store: Store) -> None:
    make_foreign(store)
    found = run_query(ADDRESS, lambda ask: select_study(ask, HOSTILE))
    expected = read_study(store, HOSTILE)
    odd = found.trials[1]
    assert odd.values == (math.inf, 3.0)
    assert math.isnan(odd.history[0])
    assert odd.assignments == {"units": 16, "rate": 0.5, "kind": None}
    for place in (0, 2, 3):
        assert found.trials[place] == expected.trials[place]
    assert found.trials[4].constraints == {"constraint 0": 0.5, "constraint 1": -1.0}


def test_a_missing_study_is_told_with_the_likeliest_name(store: Store) -> None:
    make_study(store)
    assert run_query(ADDRESS, select_names) == ["shapes-tiny"]
    with pytest.raises(SpecError, match=r"study: there is no 'shapes-tny'. Did you mean 'shapes-tiny'\?"):
        run_query(ADDRESS, lambda ask: select_study(ask, "shapes-tny"))


def test_versions(store: Store) -> None:
    import optuna

    found = run_query(ADDRESS, select_versions)
    assert found["optuna"] == optuna.__version__
    assert found["schema"].startswith("v")
