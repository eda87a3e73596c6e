"""Names and values of quantities, the same on the page, on the terminal and in figures."""

from __future__ import annotations

import math

import pytest
from study_fakes import LIMITS, make_study, make_trial

from archsearch.formatting import setting_text, short_key, value_text
from archsearch.report.vocabulary import (
    INFEASIBLE,
    bound_text,
    compact,
    counted,
    cut,
    finite,
    label,
    labelled_value,
    misses_text,
    short_label,
)
from archsearch.search.explain import explain


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("accuracy", 0.84927, "84.93 %"),
        ("test_accuracy", 1, "100.00 %"),
        ("accuracy", 84.9, "84.9"),
        ("parameters", 187312, "187 312"),
        ("parameters", 152340.0, "152 340"),
        ("macs", 2.5e7, "25 000 000"),
        ("receptive_field", 109, "109 px"),
        ("seconds", 3.25, "3.2 s"),
        ("seconds", 38.4, "38 s"),
        ("seconds", 99.6, "1 min 40 s"),
        ("seconds", 720, "12 min"),
        ("seconds", 12000, "3 h 20 min"),
        ("seconds", 30 * 86400, "30 d"),
        ("loss", 0.123456789, "0.123457"),
        ("loss", math.nan, "not a number"),
        ("loss", -math.inf, "-infinity"),
        ("loss", None, "–"),
        ("huge", 1e300, "1e+300"),
    ],
)
def test_values_have_their_units(name: str, value: object, text: str) -> None:
    assert value_text(name, value) == text


def test_quantities_are_called_the_same_everywhere() -> None:
    assert [label(name) for name in ("accuracy", "macs", "receptive_field", "my_loss")] == [
        "validation accuracy",
        "MACs",
        "receptive field",
        "my loss",
    ]
    assert [short_label(name) for name in ("accuracy", "receptive_field", "seconds", "my_loss")] == [
        "accuracy",
        "receptive field",
        "time",
        "my loss",
    ]
    assert labelled_value("macs", 1000) == "1 000 MACs"
    assert labelled_value("parameters", 1000) == "1 000 parameters"
    assert labelled_value("accuracy", 0.5) == "validation accuracy 50.00 %"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (9216, "9.22 k"),
        (73_856, "73.9 k"),
        (999_600, "1.00 M"),
        (109_910_016, "110 M"),
        (5 * 10**9, "5.00 G"),
    ],
)
def test_compact_numbers_keep_three_digits(value: int, text: str) -> None:
    assert compact(value) == text
    assert compact(12_500_000, trim=True) == "12.5 M"


def test_bounds_are_written_out() -> None:
    assert [bound_text(bound) for bound in LIMITS.values()] == [
        "above 44",
        "below 200 000",
        "depthwise_separable, dilated",
        "max_pool, average_pool",
        "layers 3, by strided, dilated",
        "global_average",
    ]
    assert bound_text({"at_least": 0.25}) == "at least 0.25"
    assert bound_text(None) == "None"


def test_misses_are_relative_to_the_bound() -> None:
    assert misses_text({"parameters": 0.126, "macs": 12.34}) == "macs by 12.3 times the bound, parameters by 12.6 %"
    assert misses_text({"parameters": 5.234, "macs": 12340}) == "macs by 12 340 times the bound, parameters by 523.4 %"


def test_settings_are_short() -> None:
    assert [setting_text(value) for value in (None, True, 0.123456, 8, "x")] == ["null", "true", "0.123", "8", "x"]
    assert [short_key(name) for name in ("arch.stages.c2.width", "arch.width", "seed")] == ["c2.width", "width", "seed"]
    assert (cut("abc", 3), cut("abcd", 3)) == ("abc", "ab…")
    assert counted({"complete": 2, "failed": 1}) == "2 complete, 1 failed"
    assert counted({}) == "none"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, 1e308, True, None, "3", [1]])
def test_other_values_are_not_finite(value: object) -> None:
    assert finite(value) is None
    assert finite(3) == 3.0


def test_infeasible_designs_are_counted_by_limit() -> None:
    trials = [make_trial(i, INFEASIBLE, constraints={"macs": 1.0, "parameters": i - 0.5}) for i in range(2)]
    counts = explain(make_study([*trials, make_trial(2, values=(0.5,))])).infeasible
    assert (counts.proposed, counts.feasible, counts.warning()) == (3, 1, None)
    assert dict(counts.by_limit) == {"macs": 2, "parameters": 1}
