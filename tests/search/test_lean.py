"""A cache that stays small, and what it must still know."""

from __future__ import annotations

from search_fakes import FakeTask, make_study, make_sweep

from archsearch.search.loop import work
from archsearch.search.storage.dashboard import MARGIN
from archsearch.search.storage.database import LONG, open_store


def test_long_texts_stay_in_the_database_and_distributions_are_shared() -> None:
    slim, full = open_store(slim=True), open_store()
    study = make_study(slim)
    work(study, make_sweep(), FakeTask(), seed=1)
    trials = [trial for trial in study.trials() if "key" in trial.user_attrs]
    assert not any(name in trial.user_attrs for trial in trials for name in LONG)
    assert not any(name.startswith(MARGIN) for trial in trials for name in trial.user_attrs)
    assert len({id(trial.distributions["a"]) for trial in trials}) == 1
    assert len({id(trial.distributions) for trial in trials}) == 1
    assert len({id(name) for trial in trials for name in trial.user_attrs["assignments"] if name == "block"}) == 1
    whole = [trial for trial in make_study(full).trials() if "key" in trial.user_attrs]
    assert all("design" in trial.user_attrs and "margins" in trial.user_attrs for trial in whole)
    assert [trial.params for trial in whole] == [trial.params for trial in trials]
    slim.close()
    full.close()
