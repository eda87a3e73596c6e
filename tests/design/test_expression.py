"""The closed arithmetic: the values of expressions, and the message for what is none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.design.expression import check_names, compute, condition, constant, integer, multiple_of, parse
from archsearch.errors import SpecError

SCOPE = {"in": 32, "out": 48, "expand": 6, "ratio": 0.25, "flag": True, "mode": "wide"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("in * expand", 192),
        ("out // 5", 9),
        ("out % 5 + 2 * 3", 9),
        ("-2 ** 2", -4),
        ("2 ** 3 ** 0", 2),
        ("(in + out) / 4", 20.0),
        ("in - out - 1", -17),
        ("out if in > 16 else 1", 48),
        ("1 if in > 64 else 2 if in > 16 else 3", 2),
        ("not in == 32 or flag", True),
        ("in != out and ratio < 1", True),
        ("round(2.5)", 3),
        ("max(1, in // 64, 2)", 2),
        ("multiple_of(in * ratio, 8)", 8),
        ("mode == 3", False),
    ],
)
def test_values(text: str, value: object) -> None:
    expression = parse(text, "here")
    assert compute(expression, SCOPE, "here") == value
    assert type(compute(expression, SCOPE, "here")) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "unexpected character '''"),
        ("open(1)", "unknown function 'open'"),
        ("in.real", "unexpected character '.'"),
        ("in[0]", "unexpected character '['"),
        ("in +", "expected a value, got the end"),
        ("in in", "unexpected 'in'"),
        ("(in", "expected ')', got the end"),
        ("max()", "expected a value, got ')'"),
        ("round(1, 2)", "round() takes 1 argument(s), got 2"),
        ("1 if in", "expected 'else', got the end"),
        ("³ + 1", "expected a value, got '³'"),
        ("", "expected a value, got the end"),
        ("lambda: 1", "unexpected character ':'"),
    ],
)
def test_a_syntax_error_names_the_place(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=r"^block.layers\[0\].conv.out: ") as caught:
        parse(text, "block.layers[0].conv.out")
    assert message in str(caught.value)


def test_a_text_that_is_too_long_is_an_error() -> None:
    with pytest.raises(SpecError, match=r"the expression has 403 characters. At most 200 are allowed"):
        parse("1" + "+1" * 201, "here")


@pytest.mark.parametrize(
    "text",
    ["(" * 99 + "1" + ")" * 99, "-" * 199 + "1", "2**" * 60 + "2", "not " * 49 + "1", "abs(" * 39 + "1" + ")" * 39],
)
def test_what_is_nested_too_deeply_is_an_error(text: str) -> None:
    with pytest.raises(SpecError, match=r"is nested more than 32 levels deep"):
        parse(text, "here")


def test_a_condition_is_no_string() -> None:
    assert condition(parse("mode == 3 or flag", "here"), SCOPE, "here") is True
    with pytest.raises(SpecError, match=r"^here: 'mode' gives the string 'wide', must be true or false"):
        condition(parse("mode", "here"), SCOPE, "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("in / 0", "divides by zero"),
        ("in % 0", "divides by zero"),
        ("9 ** 99", "out of bounds"),
        ("(0-2) ** 0.5 + mode", "-2 ** 0.5 is not a real number"),
        ("10 ** 16 * 10 ** 16", "is not a number from -1e18 to 1e18"),
        ("0.1 * 10 ** 16 * 10 ** 16", "is not a number from -1e18 to 1e18"),
        ("floor(10 ** 16 * 1000.0)", "is not a number from -1e18 to 1e18"),
        ("mode * 1000000000", "mixes strings and numbers"),
        ("mode % 1", "mixes strings and numbers"),
        ("mode + mode", "mixes strings and numbers"),
        ("min(mode, mode)", "mixes strings and numbers"),
        ("mode < mode", "mixes strings and numbers"),
        ("mode + 1", "mixes strings and numbers"),
        ("-mode", "mixes strings and numbers"),
    ],
)
def test_arithmetic_without_a_value_is_an_error(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=r"^here: ") as caught:
        compute(parse(text, "here"), SCOPE, "here")
    assert message in str(caught.value)


def test_unknown_names_are_named_with_the_likeliest() -> None:
    with pytest.raises(SpecError, match=r"unknown parameter 'expnd' in 'in \* expnd'. Did you mean 'expand'?"):
        check_names(parse("in * expnd", "here"), SCOPE, "here")


def test_integer_takes_whole_numbers_alone() -> None:
    assert integer(parse("in * ratio", "w"), SCOPE, "w", 1) == 8
    with pytest.raises(SpecError, match=r"gives 16.5, must be an integer. Round it"):
        integer(parse("in * 0.5 + 0.5", "w"), SCOPE, "w", 1)
    with pytest.raises(SpecError, match=r"gives true, must be an integer"):
        integer(parse("flag", "w"), SCOPE, "w", 1)
    with pytest.raises(SpecError, match=r"gives 1000001, must be at most 1000000"):
        integer(parse("10 ** 6 + 1", "w"), SCOPE, "w", 1)
    with pytest.raises(SpecError, match=r"'in - 40' gives -8, must be at least 1"):
        integer(parse("in - 40", "w"), SCOPE, "w", 1)
    assert integer(constant(7), {}, "w", 1) == 7


@given(st.integers(0, 99), st.integers(1, 99), st.integers(0, 99))
def test_agrees_with_python(a: int, b: int, c: int) -> None:
    text = f"{a} + {c} * {b} - {c} // {b} % {b} + -{a} * ({c} + {b})"
    assert compute(parse(text, "w"), {}, "w") == a + c * b - c // b % b + -a * (c + b)


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_an_error(text: str) -> None:
    with contextlib.suppress(SpecError):
        assert parse(text, "here").text == text


def test_multiple_of_rounds_to_the_nearest_and_never_to_nothing() -> None:
    assert [multiple_of(value, 8) for value in (1, 11.9, 12, 20)] == [8, 8, 16, 24]
