"""Passwords are found in any text: every spelling of an address, also mangled ones."""

from __future__ import annotations

import pytest

from archsearch.masking import hide_passwords, mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql+psycopg://me:s3cret@host:5432/db", "postgresql+psycopg://me:***@host:5432/db"),
        ("study.storage='postgresql://me:s3@cret@host/db'", "study.storage='postgresql://me:***@host/db'"),
        ("postgresql://host/db?user=me&password=s3cret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("mysql://me:a@h/d and http://you:b@h/d", "mysql://me:***@h/d and http://you:***@h/d"),
        ("sqlite:///outputs/studies.db", "sqlite:///outputs/studies.db"),
        ("postgresql://me:${oc.env:PASSWORD}@host/db", "postgresql://me:${oc.env:PASSWORD}@host/db"),
        ("postgresql://me:***@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("no answer from https://t0ken@host:5000/x", "no answer from https://***@host:5000/x"),
        ("https://***@host", "https://***@host"),
        ("block@arch.stages.c2.block=strided", "block@arch.stages.c2.block=strided"),
    ],
)
def test_passwords_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_passwords_are_taken_out_of_the_command_line() -> None:
    given = ["seed=1", "study.storage=postgresql://me:s3@cret@h/d", "x='mysql://me:other@h/d'", "y=a://b:${oc.env:C}@d"]
    hidden, variables = hide_passwords(given)
    assert hidden == [
        "seed=1",
        "study.storage=postgresql://me:${oc.env:ARCHSEARCH_PASSWORD}@h/d",
        "x='mysql://me:${oc.env:ARCHSEARCH_PASSWORD_2}@h/d'",
        "y=a://b:${oc.env:C}@d",
    ]
    assert variables == {"ARCHSEARCH_PASSWORD": "s3@cret", "ARCHSEARCH_PASSWORD_2": "other"}


def test_a_password_with_an_at_sign_is_hidden_whole() -> None:
    assert mask("postgresql://me:s3@cr@et@host/db") == "postgresql://me:***@host/db"
    assert mask("tried 'postgresql://me:a@b@one/db' and postgresql://me@two/db") == (
        "tried 'postgresql://me:***@one/db' and postgresql://me@two/db"
    )


@pytest.mark.parametrize(
    "address",
    [
        "x://h/d;password=pw1 b'c",
        "x://u'n:pw1 b'c@h",
        "x://me@corp:pw1 b'c@h",
        "postgresql://u:pw1 b'c@h/d",
        "postgresql:/u:pw1 b'c@h/d",
        "postgresql:u:pw1 b'c@h",
        "postgresql//u:pw1 b'c@h",
        "postgres;//u:pw1 b'c@h",
        "postgresql:\\\\u:pw1 b'c@h",
        "PostgreSQL+psycopg2:///u:pw1 b'c@h/d",
        "http://:pw1 b'c@h:5000",
        "postgresql://h/d?user=me&PASSWORD=pw1 b'c",
        "postgresql://h/d?sslpassword=pw1 b'c&user=me",
    ],
)
@pytest.mark.parametrize(
    "text", ["{}", "study.storage={}", "tried\n{}\nin vain", "'{}' is not the address of a database"]
)
def test_a_mangled_address_hides_its_password(address: str, text: str) -> None:
    for form in (mask(text.format(address)), *hide_passwords([text.format(address)])[0]):
        assert not any(part in form for part in ("pw1", "b'c")), form


def test_a_masked_text_stays_as_it_is() -> None:
    once = mask("postgresql://me:pw@host/db?password=pw")
    assert mask(once) == once == "postgresql://me:***@host/db?password=***"
