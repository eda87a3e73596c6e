"""Hydra's sweep grammar as a space."""

from __future__ import annotations

import pytest

from archsearch.errors import SpecError
from archsearch.search.space import Choice, Parameter, Range
from hydra_plugins.archsearch_sweeper._grammar import read_request


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("normal,dilated", Choice(options=("normal", "dilated"))),
        ("choice(1,2,1)", Choice(options=(1, 2))),
        ("1,1.0,true,null", Choice(options=(1, 1.0, True, None))),
        ("'a b','c'", Choice(options=("a b", "c"))),
        ("range(1,4)", Range(low=1, high=3, integer=True, step=1.0)),
        ("range(16,65,8)", Range(low=16, high=64, integer=True, step=8.0)),
        ("range(0.5,2.1,0.5)", Range(low=0.5, high=2.0, step=0.5)),
        ("range(3,4)", Choice(options=(3,))),
        ("interval(0,1)", Range(low=0.0, high=1.0)),
        ("int(interval(1,8))", Range(low=1, high=8, integer=True)),
        ("tag(log,interval(0.01,1))", Range(low=0.01, high=1.0, log=True)),
        ("tag(log,int(interval(1,64)))", Range(low=1, high=64, integer=True, log=True)),
        ("float(choice(1,2))", Choice(options=(1.0, 2.0))),
        ("sort(3,1,2)", Choice(options=(1, 2, 3))),
    ],
)
def test_every_sweep_is_a_parameter(text: str, found: Parameter) -> None:
    request = read_request([f"train.x={text}"], None)
    assert request.space.parameters == {"train.x": found}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("range(1,5,0)", r"train\.x: range\(1,5,0\) has no step\. Write range\(1,5\) for steps of 1"),
        ("range(0,1000000000)", r"holds more than 10000 values\. Write interval\(0,1000000000\), or a larger step"),
        ("range(0,1e9,1e-3)", r"holds more than 10000 values"),
        ("interval(0,inf)", r"train\.x: a range or an interval has numbers from -1e18 to 1e18, got inf"),
        ("interval(nan,1)", r"got nan"),
        ("interval(-1e308,1e308)", r"got -1e\+308"),
        ("choice(nan,1)", r"train\.x: must be finite, got nan"),
        ("choice(1,99999999999999999999)", r"train\.x: must be at most 9223372036854775807"),
        ("x" * 20_000, r"train\.x: has 20008 characters, at most 10000 are allowed"),
        ("[" * 40, r"train\.x: is nested more than 32 levels deep"),
    ],
)
def test_values_that_cannot_be_searched_over_are_an_error_at_once(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read_request([], {"train.x": text})


def test_comma_lists_alone_ask_for_every_combination() -> None:
    assert read_request(["block=a,b", "seed=1,2", "train.epochs=3"], None).exhaustive
    assert not read_request(["block=a,b", "train.x=interval(0,1)"], None).exhaustive
    assert not read_request(["block=choice(a,b)"], None).exhaustive
    assert not read_request([], {"block": "choice(a,b)"}).exhaustive
    assert read_request(["block=shuffle(a,b)"], None).shuffle


def test_the_command_line_wins_over_the_space() -> None:
    space = {"arch.width": "fit", "a.b": "choice(1, 2)", "a.c": "range(1, 3)", "a.d": None, "a.e": 3}
    request = read_request(["++a.b=7", "a.c=8,9", "arch.width=0.5", "study.trials=3", "space=x"], space)
    assert request.space.parameters == {"a.c": Choice(options=(8, 9))}
    assert request.fixed == {"a.e": 3}
    assert request.base == ("++a.b=7", "arch.width=0.5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data=cifar10,shapes", "data: cannot differ .* one sweep for each data"),
        ("data.limit_train=1,2", "cannot differ"),
        ("constraints=a,b", "cannot differ"),
        ("study.trials=1,2", "cannot differ"),
        ("x=[1,2],[3]", "x: lists and mappings cannot be searched"),
        ("x=interval(2,1)", "holds nothing"),
        ("x=tag(log,interval(0,1))", "must begin above 0"),
        ("x=range(3,3)", "holds no value"),
    ],
)
def test_what_cannot_be_searched_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read_request([text], None)
