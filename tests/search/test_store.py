"""The study database: made where it is missing, shared, and readable in its errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.errors import SpecError, StorageError
from archsearch.search.storage.database import Store, open_store


def test_the_default_database_is_made_with_its_folder(store: Store) -> None:
    assert Path("outputs/studies.db").is_file()
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_missing_database_is_not_made_for_a_reader() -> None:
    with pytest.raises(SpecError, match=r"there is no study database at nowhere.db"):
        open_store("nowhere.db", create=False)
    assert not Path("nowhere.db").exists()


def test_a_file_that_is_no_database_is_named() -> None:
    Path("text.db").write_text("this is no database, only text that is long enough to be read as one" * 20)
    with pytest.raises(StorageError, match=r"sqlite:///text.db: the study database cannot be opened: .*not a database"):
        open_store("text.db")


def test_a_server_that_does_not_answer_is_an_error_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StorageError, match="cannot be opened") as caught:
        open_store("postgresql://me:s3cret@127.0.0.1:9/db?connect_timeout=2")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
