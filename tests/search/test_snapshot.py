"""Looking at a database leaves no trace, and works beside a writer and where nothing can be written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from search_fakes import make_study

from archsearch.errors import SpecError, StorageError
from archsearch.search.storage import readonly
from archsearch.search.storage.database import open_store
from archsearch.search.storage.readonly import Query, run_query
from archsearch.search.storage.url import Address, parse_address

ADDRESS = parse_address("sqlite:///studies.db")


def count(ask: Query) -> int:
    return ask("SELECT COUNT(*) FROM studies WHERE study_name <> :name", {"name": "-"})[0][0]


def make_database() -> None:
    store = open_store("sqlite:///studies.db")
    make_study(store, name="one")
    store.close()


def names() -> set[str]:
    return {path.name for path in Path().iterdir()}


def test_a_still_database_is_left_as_it_is() -> None:
    make_database()
    before, content = names(), Path("studies.db").read_bytes()
    assert run_query(ADDRESS, count) == 1
    assert names() == before
    assert Path("studies.db").read_bytes() == content


def test_what_a_writer_has_written_is_seen_at_once() -> None:
    make_database()
    store = open_store("sqlite:///studies.db")
    try:
        make_study(store, name="two")
        assert Path("studies.db-wal").exists()
        assert run_query(ADDRESS, count) == 2
        make_study(store, name="three")
        assert run_query(ADDRESS, count) == 3
    finally:
        store.close()


def test_a_writer_that_comes_between_makes_it_look_again() -> None:
    make_database()
    asked: list[int] = []

    def question(ask: Query) -> int:
        asked.append(count(ask))
        if len(asked) == 1:
            store = open_store("sqlite:///studies.db")
            make_study(store, name="two")
            store.close()
        return count(ask)

    assert run_query(ADDRESS, question) == 2
    assert len(asked) == 2


def test_nothing_can_be_written() -> None:
    make_database()
    with pytest.raises(StorageError, match="readonly"):
        run_query(ADDRESS, lambda ask: ask("DELETE FROM studies", {}))


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
    assert run_query(ADDRESS, count) == 1
    assert names() == before


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be taken for one" * 20])
def test_what_is_no_study_database_is_told(content: bytes) -> None:
    Path("studies.db").write_bytes(content)
    with pytest.raises(StorageError, match=r"studies.db: not a study database"):
        run_query(ADDRESS, count)


def test_where_there_is_none_none_is_made() -> None:
    with pytest.raises(SpecError, match=r"--storage: there is no study database at studies.db. Run a design first"):
        run_query(ADDRESS, count)
    assert names() == set()


def test_a_server_that_is_not_there_is_told_without_its_password() -> None:
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
