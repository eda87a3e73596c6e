"""Numbers, durations and times are written in one way."""

from __future__ import annotations

import datetime

import pytest

from archsearch.formatting import duration, moment, number, percent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "0.25 s"),
        (9.9, "9.9 s"),
        (9.96, "10 s"),
        (99, "99 s"),
        (100, "1 min 40 s"),
        (720, "12 min"),
        (724.4, "12 min 4 s"),
        (12_000, "3 h 20 min"),
        (7_200, "2 h"),
        (352_800, "98 h"),
        (360_000 + 7_200, "4 d 6 h"),
        (float("nan"), "nan"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_stand_in_groups_of_three() -> None:
    assert [number(each) for each in (0, 999, 1000, 4395392, -1234, "many")] == [
        "0",
        "999",
        "1 000",
        "4 395 392",
        "-1 234",
        "many",
    ]


def test_a_share_is_a_percentage() -> None:
    assert (percent(0.3), percent(0.86123, 1)) == ("30.00 %", "86.1 %")


def test_a_moment_is_in_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    assert moment(datetime.datetime(2026, 11, 24, 3, 18, tzinfo=zone)) == "2026-11-24 01:18 UTC"
