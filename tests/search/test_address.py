"""Addresses of study databases: every spelling, and never a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.errors import SpecError
from archsearch.masking import mask
from archsearch.search.storage.url import parse_address


@pytest.mark.parametrize(
    ("given", "kind", "url", "path"),
    [
        ("sqlite:///outputs/studies.db", "sqlite", "sqlite:///outputs/studies.db", Path("outputs/studies.db")),
        ("sqlite:////tmp/s.db", "sqlite", "sqlite:////tmp/s.db", Path("/tmp/s.db")),
        ("mine.db", "sqlite", "sqlite:///mine.db", Path("mine.db")),
        ("journal:outputs/j.log", "journal", "journal:outputs/j.log", Path("outputs/j.log")),
        ("postgresql://me@host/db", "postgresql", "postgresql+psycopg://me@host/db", None),
        ("postgresql+psycopg2://me@host/db", "postgresql", "postgresql+psycopg2://me@host/db", None),
    ],
)
def test_an_address_is_read(given: str, kind: str, url: str, path: Path | None) -> None:
    address = parse_address(given)
    assert (address.kind, address.url, address.path) == (kind, url, path)


@pytest.mark.parametrize("given", ["mysql://u:secret@h/d", "sqlite://", "journal:", "studies", ""])
def test_what_is_no_address_is_refused_without_its_password(given: str) -> None:
    with pytest.raises(SpecError, match=r"study\.storage: .* is not the address") as caught:
        parse_address(given)
    assert "secret" not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    address = parse_address("postgresql://me:s3cret:with@host:5432/db?sslpassword=other")
    for shown in (str(address), repr(address), mask(f"could not connect to {address.url}")):
        assert "s3cret" not in shown
        assert "other" not in shown
        assert "me:***@host:5432/db" in shown
