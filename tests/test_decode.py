from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.decode import Range, check_ranges, convert, decode, describe, expected, suggest
from archsearch.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    epochs: int
    kind: Literal["linear", "cosine"] = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    epochs: int
    rate: float = 0.1
    name: str | None = None
    precision: Literal["auto", "bf16", 32] = "auto"
    compile: bool = False
    steps: tuple[int, ...] = ()
    mean: tuple[float, float] | None = None
    warmup: Warmup | None = None
    limits: Mapping[str, float | None] = field(default_factory=dict)
    extra: Any = None
    derived: int = field(init=False, default=7)


def error_of(raw: object, where: str = "train") -> str:
    with pytest.raises(SpecError) as caught:
        decode(Training, raw, where)
    return str(caught.value)


def test_a_whole_mapping_becomes_a_frozen_value_with_its_defaults() -> None:
    raw = {
        "epochs": 3,
        "rate": 1,
        "precision": 32,
        "steps": [1, 2],
        "mean": [0, 0.5],
        "warmup": {"epochs": 1, "kind": "cosine"},
        "limits": {"macs": None, "parameters": 5},
        "extra": {"any": ["thing"]},
    }
    value = decode(Training, raw, "train")
    assert value == Training(
        epochs=3,
        rate=1.0,
        precision=32,
        steps=(1, 2),
        mean=(0.0, 0.5),
        warmup=Warmup(epochs=1, kind="cosine"),
        limits={"macs": None, "parameters": 5.0},
        extra={"any": ["thing"]},
    )
    assert type(value.rate) is float
    with pytest.raises(FrozenInstanceError):
        value.epochs = 4  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "train: must be a mapping, got null"),
        ([1], "train: must be a mapping, got a list"),
        ({}, "train.epochs: missing key for train. It must be an integer."),
        ({"epochs": 1, "epoch": 2}, "train.epoch: unknown key for train. Did you mean 'epochs'?"),
        ({"epochs": 1, "derived": 2}, "train.derived: unknown key for train. Known: "),
        ({"epochs": "3"}, "train.epochs: must be an integer, got the string '3'. Write it without quotes."),
        ({"epochs": "many"}, "train.epochs: must be an integer, got the string 'many'"),
        ({"epochs": True}, "train.epochs: must be an integer, got true"),
        ({"epochs": 3.0}, "train.epochs: must be an integer, got 3.0"),
        ({"epochs": None}, "train.epochs: must be an integer, got null"),
        ({"epochs": 1, "rate": "0.1"}, "train.rate: must be a number, got the string '0.1'. Write it without quotes."),
        ({"epochs": 1, "rate": False}, "train.rate: must be a number, got false"),
        ({"epochs": 1, "compile": 1}, "train.compile: must be true or false, got 1"),
        ({"epochs": 1, "name": 5}, "train.name: must be a string, got 5"),
        ({"epochs": 1, "precision": "bf61"}, "train.precision: unknown value 'bf61'. Did you mean 'bf16'?"),
        (
            {"epochs": 1, "precision": "half"},
            "train.precision: unknown value 'half'. Choose one of auto, bf16, 32.",
        ),
        ({"epochs": 1, "precision": True}, "train.precision: unknown value true. Choose one of auto, bf16, 32."),
        ({"epochs": 1, "steps": 4}, "train.steps: must be a list, got 4"),
        ({"epochs": 1, "steps": [1, "2"]}, "train.steps[1]: must be an integer, got the string '2'."),
        ({"epochs": 1, "mean": [0.5]}, "train.mean: must be a list of 2, got 1"),
        ({"epochs": 1, "warmup": 5}, "train.warmup: must be a mapping, got 5"),
        ({"epochs": 1, "warmup": {}}, "train.warmup.epochs: missing key for warmup."),
        (
            {"epochs": 1, "warmup": {"epochs": 1, "kind": "cosin"}},
            "train.warmup.kind: unknown value 'cosin'.",
        ),
        ({"epochs": 1, "limits": [1]}, "train.limits: must be a mapping, got a list"),
        ({"epochs": 1, "limits": {"macs": "1"}}, "train.limits.macs: must be a number, got the string '1'."),
    ],
)
def test_an_error_says_where_what_and_the_fix(raw: object, message: str) -> None:
    assert error_of(raw).startswith(message)


def test_without_a_place_the_key_alone_is_named() -> None:
    assert error_of({"epochs": 1, "rat": 1}, where="") == "rat: unknown key for the configuration. Did you mean 'rate'?"


def test_the_mapping_may_have_a_label() -> None:
    with pytest.raises(SpecError, match=r"late\.epoch: unknown key for a stage\. Did you mean 'epochs'\?"):
        decode(Training, {"epoch": 1}, "late", label="a stage")


def test_the_value_of_a_dataclass_passes_as_it_is() -> None:
    warmup = Warmup(epochs=2)
    assert decode(Training, {"epochs": 1, "warmup": warmup}).warmup is warmup


def test_a_union_takes_the_member_that_fits_and_names_all_where_none_does() -> None:
    assert convert(int | str, "fit", "w") == "fit"
    assert convert(float | Literal["fit"], "fit", "w") == "fit"
    assert convert(float | Literal["fit"], 2, "w") == 2.0
    with pytest.raises(SpecError, match=r"w: must be a number or 'fit', got the string 'fat'"):
        convert(float | Literal["fit"], "fat", "w")


@given(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.integers()))
def test_a_whole_number_is_taken_as_it_is_and_nothing_else_is(raw: object) -> None:
    if type(raw) is int:
        assert convert(int, raw, "n") == raw
    else:
        with pytest.raises(SpecError, match=r"^n: must be an integer, got "):
            convert(int, raw, "n")


def test_a_suggestion_names_the_likeliest_or_all() -> None:
    assert suggest("dialted", ["normal", "dilated"]) == "Did you mean 'dilated'?"
    assert suggest("xyz", ["normal", "dilated"]) == "Known: normal, dilated."
    assert suggest("xyz", []) == ""


def test_values_and_types_have_the_names_of_yaml() -> None:
    assert [describe(raw) for raw in (None, True, "a", {}, (), 1.5)] == [
        "null",
        "true",
        "the string 'a'",
        "a mapping",
        "a list",
        "1.5",
    ]
    assert expected(int | None) == "an integer or null"
    assert expected(Literal["a", "b"]) == "'a' or 'b'"
    assert expected(tuple[int, ...]) == "a list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    count: Annotated[int, Range(at_least=1)] = 1
    share: Annotated[float, Range(at_least=0, at_most=1, fix="It is a share.")] = 0.5
    decay: Annotated[float, Range(at_least=0, below=1)] | None = None
    rates: tuple[Annotated[float, Range(above=0)], ...] = ()

    def __post_init__(self) -> None:
        check_ranges(self, "direct")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"count": 0}, "count: must be at least 1, got 0"),
        ({"count": 1.5}, "count: must be an integer, got 1.5"),
        ({"share": 1.5}, "share: must be from 0 to 1, got 1.5. It is a share."),
        ({"share": float("nan")}, "share: must be from 0 to 1, got nan. It is a share."),
        ({"decay": 1}, "decay: must be at least 0 and below 1, got 1.0"),
        ({"decay": "no"}, "decay: must be a number, got the string 'no'"),
        ({"rates": [1, 0]}, "rates[1]: must be above 0, got 0.0"),
    ],
)
def test_a_number_out_of_its_range_is_an_error_at_its_key(raw: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode(Ranges, raw, "train")
    assert str(caught.value) == f"train.{message}"


def test_ranges_hold_for_a_value_made_directly() -> None:
    assert decode(Ranges, {"decay": None, "rates": [0.1]}) == Ranges(rates=(0.1,))
    with pytest.raises(SpecError, match=r"^direct\.count: must be at least 1, got 0$"):
        Ranges(count=0)
    with pytest.raises(SpecError, match=r"^direct\.decay: must be at least 0 and below 1, got inf$"):
        Ranges(decay=float("inf"))
    assert expected(Annotated[int, Range(at_least=1)]) == "an integer"
