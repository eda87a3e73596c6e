"""One reader for all kinds of databases: it leaves no trace, reads while a writer writes, and agrees with Optuna."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import pytest
from foreign_studies import HOSTILE, make_foreign
from search_fakes import FakeTask, make_study, make_sweep

from archsearch.errors import ArchsearchError, SpecError, StorageError
from archsearch.search.loop import work
from archsearch.search.storage import readonly
from archsearch.search.storage.database import Store, open_store
from archsearch.search.storage.queries import select_names, select_study, select_versions
from archsearch.search.storage.read import read_study
from archsearch.search.storage.reader import open_reader
from archsearch.search.storage.readonly import Query, run_query
from archsearch.search.storage.url import Address, parse_address

STORAGES = ["sqlite:///studies.db", "journal:studies.journal"]


@pytest.mark.parametrize("storage", STORAGES)
def test_all_kinds_of_databases_are_read_alike(storage: str) -> None:
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
def test_the_study_must_be_named_unless_it_is_the_only_one(storage: str) -> None:
    store = open_store(storage)
    with pytest.raises(SpecError, match="the database has no study yet"):
        open_reader(storage).study()
    for name in ("one", "two"):
        make_study(store, name=name)
    store.close()
    with pytest.raises(SpecError, match=r"study: the database has 2 studies\. Name one of them: one, two"):
        open_reader(storage).study()
    with pytest.raises(SpecError, match=r"there is no 'tow'. Did you mean 'two'\?"):
        open_reader(storage).study("tow")


@pytest.mark.parametrize("storage", STORAGES)
def test_a_missing_database_is_not_created(storage: str) -> None:
    with pytest.raises(SpecError, match="no study database"):
        open_reader(storage).names()
    assert not list(Path().iterdir())


def test_a_journal_is_read_up_to_the_line_that_is_being_written() -> None:
    store = open_store(STORAGES[1])
    make_study(store, name="one")
    with Path("studies.journal").open("ab") as opened:
        opened.write(b'{"op_code": 0, "wor')
    assert open_reader(STORAGES[1]).names() == ["one"]


def test_a_file_that_is_no_journal_is_an_error() -> None:
    Path("studies.journal").write_text("not JSON\n")
    with pytest.raises(ArchsearchError, match="not a journal of studies"):
        open_reader(STORAGES[1]).names()


ADDRESS = parse_address("sqlite:///outputs/studies.db")


def test_sql_and_optuna_read_our_studies_alike(store: Store) -> None:
    study = make_study(store, ("accuracy", "macs"))
    work(study, make_sweep(), FakeTask(most=20), seed=1)
    assert run_query(ADDRESS, lambda ask: select_study(ask, study.name)) == read_study(store, study.name)


def test_sql_reads_studies_of_other_programs(store: Store) -> None:
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


def test_a_missing_study_is_an_error_with_the_likeliest_name(store: Store) -> None:
    make_study(store)
    assert run_query(ADDRESS, select_names) == ["shapes-tiny"]
    with pytest.raises(SpecError, match=r"study: there is no 'shapes-tny'. Did you mean 'shapes-tiny'\?"):
        run_query(ADDRESS, lambda ask: select_study(ask, "shapes-tny"))


def test_versions_of_tables_and_optuna(store: Store) -> None:
    import optuna

    found = run_query(ADDRESS, select_versions)
    assert found["optuna"] == optuna.__version__
    assert found["schema"].startswith("v")


SNAPSHOT = parse_address("sqlite:///studies.db")


def count(ask: Query) -> int:
    return ask("SELECT COUNT(*) FROM studies WHERE study_name <> :name", {"name": "-"})[0][0]


def make_database() -> None:
    store = open_store("sqlite:///studies.db")
    make_study(store, name="one")
    store.close()


def names() -> set[str]:
    return {path.name for path in Path().iterdir()}


def test_a_database_without_a_writer_is_not_changed() -> None:
    make_database()
    before, content = names(), Path("studies.db").read_bytes()
    assert run_query(SNAPSHOT, count) == 1
    assert names() == before
    assert Path("studies.db").read_bytes() == content


def test_committed_rows_of_a_writer_are_read_at_once() -> None:
    make_database()
    store = open_store("sqlite:///studies.db")
    try:
        make_study(store, name="two")
        assert Path("studies.db-wal").exists()
        assert run_query(SNAPSHOT, count) == 2
        make_study(store, name="three")
        assert run_query(SNAPSHOT, count) == 3
    finally:
        store.close()


def test_a_change_during_a_query_repeats_it() -> None:
    make_database()
    asked: list[int] = []

    def question(ask: Query) -> int:
        asked.append(count(ask))
        if len(asked) == 1:
            store = open_store("sqlite:///studies.db")
            make_study(store, name="two")
            store.close()
        return count(ask)

    assert run_query(SNAPSHOT, question) == 2
    assert len(asked) == 2


def test_a_query_cannot_write() -> None:
    make_database()
    with pytest.raises(StorageError, match="readonly"):
        run_query(SNAPSHOT, lambda ask: ask("DELETE FROM studies", {}))


def test_where_sqlite_cannot_open_it_a_copy_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    make_database()
    connect = sqlite3.connect

    def refuse(address: str, **more: object) -> sqlite3.Connection:
        if "mode=ro" in address:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(address, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(readonly, "_has_no_writer", lambda file: False)
    monkeypatch.setattr(readonly.sqlite3, "connect", refuse)
    before = names()
    assert run_query(SNAPSHOT, count) == 1
    assert names() == before


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be taken for one" * 20])
def test_a_file_without_studies_is_an_error(content: bytes) -> None:
    Path("studies.db").write_bytes(content)
    with pytest.raises(StorageError, match=r"studies.db: not a study database"):
        run_query(SNAPSHOT, count)


def test_a_query_creates_no_database() -> None:
    with pytest.raises(SpecError, match=r"--storage: no study database at studies.db. Run a design first"):
        run_query(SNAPSHOT, count)
    assert names() == set()


def test_an_unreachable_server_is_an_error_without_its_password() -> None:
    pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")
    address = Address(kind="postgresql", url="postgresql+psycopg://me:geheim@localhost:1/studies", path=None)
    with pytest.raises(StorageError) as caught:
        run_query(address, count)
    assert "geheim" not in str(caught.value)


@pytest.mark.postgres
def test_a_server_is_read() -> None:
    import os

    url = os.environ["ARCHSEARCH_POSTGRES"]
    store = open_store(url)
    try:
        name = "looked at from outside"
        study = make_study(store, name=name)
        assert run_query(parse_address(url), count) >= 1
        store.storage.delete_study(study.study_id)
    finally:
        store.close()
