"""Errors of Hydra's grammar: where, what, and a right example."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from archsearch.cli.compose import compose
from archsearch.errors import SpecError
from hydra_plugins.archsearch_sweeper._grammar import read_request


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "seed: is not an override. Write KEY=VALUE, such as train.epochs=20."),
        ("train.epochs=[1", "train.epochs: Hydra cannot parse the value [1. Close the bracket: 'train.epochs=[1]'"),
        ("a.b={above:", "A shell splits at spaces: quote the whole argument, such as 'a.b={above: ...}'"),
        ("a.b=choice(1,(2", "Close the bracket: 'a.b=choice(1,(2))'"),
        ("a.b=x=y", "a.b: Hydra cannot parse the value x=y. Quote text that contains spaces, brackets, quotes,"),
        ("a.b=x=y", "commas or =: 'a.b=\"x=y\"'."),
        ("a.b=#3", "a.b: Hydra cannot parse the value #3. Quote text"),
        ("a.b=1,", "a.b: Hydra cannot parse the value 1,. Quote"),
        ("a.b=rang(1,4)", "there is no function 'rang' in Hydra's grammar. Write 'a.b=range(16, 65, 8)'"),
        ("a.b=loguniform(1,4)", "Write 'a.b=tag(log, interval(1e-4, 1e-2))'"),
        ("a.b=uniform(1,4)", "Write 'a.b=interval(0.1, 0.5)'"),
        ("a.b=zzz(1)", "there is no function 'zzz' in Hydra's grammar. The functions are choice, range, interval"),
        ("a.b=interval(1)", "a.b: Hydra cannot evaluate interval(1): missing a required argument: 'end'. Write"),
        ("a.b=int(x)", "Hydra cannot evaluate int(x): invalid literal"),
    ],
)  # fmt: skip
def test_an_argument(override: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        compose([override])
    text = str(caught.value)
    assert message in text
    assert not [one for one in ("no viable", "mismatched input", "token recognition", "hydra.cc") if one in text]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([16, 32], "space/s.yaml: a.b: is one list, not several values. To search over its values write a.b: choice("),
        ("[16, 32]", "To search over its values write a.b: choice(16, 32)"),
        ([True, "x"], "write a.b: choice(true, x)"),
        ({"a": 3}, "space/s.yaml: a.b: is a mapping, not several values. Name the keys inside: a.b.KEY."),
        ("choice(16, 32", ("space/s.yaml: a.b: Hydra cannot parse the value choice(16, 32. "
         "Close the bracket: a.b: choice(16, 32)")),
        ("rang(16, 32)", ("space/s.yaml: a.b: there is no function 'rang' in Hydra's grammar. "
         "Write a.b: range(16, 65, 8)")),
    ],
)  # fmt: skip
def test_a_space(value: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_request([], {"a.b": value}, name="s")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text", ["choice(16, 32)", "range(16, 65, 8)", "interval(0.1, 0.5)", "tag(log, interval(1e-4, 1e-2))",
             "int(interval(1, 8))", "shuffle(range(1, 4))", "sort(3, 1, 2)", "float(choice(1, 2))"],
)  # fmt: skip
def test_the_examples_are_in_the_grammar(text: str) -> None:
    assert OverridesParser.create().parse_override(f"a.b={text}").is_sweep_override()
