"""Overrides as text: keys, groups, values, and the command that runs them."""

from __future__ import annotations

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from archsearch.overrides import absent_from, assign, group_of, key_of, literal, run_command, text_of, with_assignments


@pytest.mark.parametrize(
    ("override", "key", "group", "text"),
    [
        ("block=dilated", "block", "block", "dilated"),
        ("++arch.stages.c2.width=64", "arch.stages.c2.width", "arch", "64"),
        ("block@arch.stages.c2.block=strided", "block@arch.stages.c2.block", "block", "strided"),
        ("hydra/launcher=joblib", "hydra/launcher", "hydra", "joblib"),
        ("~arch.stem", "arch.stem", "arch", ""),
        ("resume='a run'", "resume", "resume", "a run"),
        ("study.storage=sqlite:///a.db?x=1", "study.storage", "study", "sqlite:///a.db?x=1"),
    ],
)
def test_the_parts_of_an_override(override: str, key: str, group: str, text: str) -> None:
    assert (key_of(override), group_of(override), text_of(override)) == (key, group, text)


@pytest.mark.parametrize(
    "value",
    [
        *("normal", "/a b/c, d.yaml", "it's", "back\\", "both\\'", "1e5", "1", "true", "Null", "nan", "", " ", "a=b"),
        *("(x)", "$x", "#", "\u00e9", True, False, None, 3, -2, 0.1, 1e-7, 2.0, float("inf")),
    ],
)
def test_a_value_is_read_again_as_it_was(value: object) -> None:
    found = OverridesParser.create().parse_override(f"key={literal(value)}").value()
    found = getattr(found, "text", found)
    assert (type(found), found) == (type(value), value)


def test_assignments_replace_overrides_of_the_same_key() -> None:
    base = ["block=normal", "++arch.width=1", "seed=3"]
    assert with_assignments(base, {"arch.width": 0.5, "arch.name": "a b"}) == [
        "block=normal",
        "seed=3",
        "arch.width=0.5",
        "arch.name='a b'",
    ]
    assert absent_from(["+seed=4", "-m"], base) == ["block=normal", "++arch.width=1"]


def test_a_command_survives_the_shell() -> None:
    overrides = [assign("arch.name", "it's"), "block=dilated"]
    assert shlex.split(run_command(overrides)) == ["python", "-m", "archsearch.run", *overrides]
