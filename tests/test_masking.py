"""Passwords are found in any text: every spelling of an address, also mangled ones."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from archsearch.masking import hide_passwords, mask, mask_texts, mask_value


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


def test_every_text_of_a_value_is_masked_and_line_ends_are_no_addresses() -> None:
    record = {"tried x://me:pw@h": [1], "design": "head:\n  pool: mean\n", "device": "CPU @ 2.80GHz", "seed": 0}
    masked = {"tried x://me:***@h": [1], "design": "head:\n  pool: mean\n", "device": "CPU @ 2.80GHz", "seed": 0}
    assert mask_texts(record) == masked
    assert mask_texts([record, None, ["x://me:pw@h"]]) == [masked, None, ["x://me:***@h"]]


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


@pytest.mark.parametrize(
    "override",
    [
        r"study.storage='postgresql://me:pw1 b\'c@h/d'",
        r'study.storage="postgresql://me:pw1 b\"c\\@h/d"',
        r"study.storage=postgresql://me:a\=b\,c\\@h/d",
        r"study.storage='postgresql://h/d?password=p\' w'",
        r"study.storage='postgresql://h/d?password=p\\\'w&x=1'",
    ],
)
def test_a_hidden_password_is_the_one_that_hydra_reads(override: str) -> None:
    [hidden], variables = hide_passwords([override])
    parser = OverridesParser.create()
    read, put_back = (str(getattr(value, "text", value)) for value in
                      (parser.parse_override(one).value() for one in (override, hidden)))  # fmt: skip
    assert put_back != read
    for name, password in variables.items():
        put_back = put_back.replace(f"${{oc.env:{name}}}", password)
    assert put_back == read


def test_arguments_that_are_hidden_twice_use_other_variables() -> None:
    _, first = hide_passwords(["a=x://me:one@h"])
    [again], both = hide_passwords(["b=x://me:two@h"], first)
    assert again == "b=x://me:${oc.env:ARCHSEARCH_PASSWORD_2}@h"
    assert both == {"ARCHSEARCH_PASSWORD": "one", "ARCHSEARCH_PASSWORD_2": "two"}


def test_the_password_of_a_known_address_is_masked_wherever_it_is() -> None:
    assert mask('no database "d;password=p\' w"', of="postgresql://h/d;password=p' w") == (
        'no database "d;password=***"'
    )
    assert mask_value({"a": ["x://h/d?password=p' w", 3]}) == {"a": ["x://h/d?password=***", 3]}
