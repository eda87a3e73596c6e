"""One reader for all kinds of databases, which it leaves as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from search_fakes import FakeTask, make_study, make_sweep

from archsearch.errors import ArchsearchError, SpecError
from archsearch.search.loop import work
from archsearch.search.storage.database import open_store
from archsearch.search.storage.read import read_study
from archsearch.search.storage.reader import open_reader

STORAGES = ["sqlite:///studies.db", "journal:studies.journal"]


@pytest.mark.parametrize("storage", STORAGES)
def test_all_kinds_are_read_alike(storage: str) -> None:
    store = open_store(storage)
    study = make_study(store)
    work(study, make_sweep(), FakeTask(most=20), seed=1)
    expected = read_study(store, study.name)
    store.close()
    files = {path: path.read_bytes() for path in Path().iterdir()}
    reader = open_reader(storage)
    assert reader.names() == [study.name]
    assert reader.study() == reader.study(study.name) == expected
    assert reader.overviews()[0].counts["complete"] == 6
    assert {path: path.read_bytes() for path in Path().iterdir()} == files


@pytest.mark.parametrize("storage", STORAGES)
def test_which_study_is_meant_must_be_clear(storage: str) -> None:
    store = open_store(storage)
    with pytest.raises(SpecError, match="the database has no study yet"):
        open_reader(storage).study()
    for name in ("one", "two"):
        make_study(store, name=name)
    store.close()
    with pytest.raises(SpecError, match=r"study: there are 2\. Name one of them: one, two"):
        open_reader(storage).study()
    with pytest.raises(SpecError, match=r"there is no 'tow'. Did you mean 'two'\?"):
        open_reader(storage).study("tow")


@pytest.mark.parametrize("storage", STORAGES)
def test_where_there_is_none_none_is_made(storage: str) -> None:
    with pytest.raises(SpecError, match="there is no study database"):
        open_reader(storage).names()
    assert not list(Path().iterdir())


def test_a_journal_that_somebody_is_writing_is_read_up_to_there() -> None:
    store = open_store(STORAGES[1])
    make_study(store, name="one")
    with Path("studies.journal").open("ab") as opened:
        opened.write(b'{"op_code": 0, "wor')
    assert open_reader(STORAGES[1]).names() == ["one"]


def test_what_is_no_journal_is_told() -> None:
    Path("studies.journal").write_text("not JSON\n")
    with pytest.raises(ArchsearchError, match="not a journal of studies"):
        open_reader(STORAGES[1]).names()
