"""Two trials side by side: what differs, in order, and both curves in one picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from trial_fakes import bare, mixed, odd, study, trained

from archsearch.errors import SpecError
from archsearch.report.comparison import comparison_record, differences, draw_comparison, layers_of, merged


def test_what_differs_is_told_in_pairs() -> None:
    one = mixed()
    found = comparison_record(one, one.trials[0], one.trials[1])
    assert found["figures"]["accuracy"] == [0.5, 0.75]
    assert found["assignments"] == {"block": ["dilated", "inverted"], "seed": [0, 1]}
    assert found["blocks"].keys() == {"c1", "c2", "c3"}
    assert found["same_design"] is False
    first = next(iter(found["layers"]))
    assert first.startswith(("stem", "stages.c1"))
    assert all(one != other for one, other in found["layers"].values())


def test_the_same_design_has_no_difference() -> None:
    one = study(trained(0, 0.5), trained(1, 0.6))
    found = comparison_record(one, *one.trials)
    assert (found["layers"], found["blocks"], found["same_design"]) == ({}, {}, True)


def test_trials_without_designs_are_compared_by_what_there_is() -> None:
    one = odd()
    for other in one.trials:
        found = comparison_record(one, one.trials[0], other)
        assert found["layers"] is None
        assert found["same_design"] is None


def test_layers_are_those_of_the_analysis() -> None:
    found = layers_of(trained(0, 0.5))
    assert found is not None
    assert sum(layer["parameters"] for layer in found.values()) == trained(0, 0.5).attrs["parameters"]
    assert layers_of(bare(0, design="stages: {a: {block: mine}}")) is None


def test_differences() -> None:
    nan = float("nan")
    assert differences({"a": 1, "b": True, "c": nan}, {"a": 1.0, "b": 1, "c": nan, "d": None}) == {
        "b": [True, 1],
        "d": [None, None],
    }
    assert merged(["stem", "c1", "head"], ["stem", "c1", "c2", "head"]) == ["stem", "c1", "c2", "head"]
    assert merged([], ["x", "y"]) == ["x", "y"]


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_both_curves_are_in_one_picture(ending: str) -> None:
    one = replace(mixed(), name="a $name$ [b]")
    file = Path("new", f"curves{ending}")
    draw_comparison(one, one.trials[:2], file)
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG" if ending == ".png" else b"<?xml")
    if ending == ".svg":
        assert content.count(b'id="line2d_') > 4


def test_without_curves_there_is_no_picture() -> None:
    one = odd()
    with pytest.raises(SpecError, match="--plot: neither trial has recorded a learning curve"):
        draw_comparison(one, one.trials[:2], Path("x.png"))
    with pytest.raises(SpecError, match="names no format of a picture"):
        draw_comparison(mixed(), mixed().trials[:2], Path("x.docx"))
    assert not list(Path().iterdir())
