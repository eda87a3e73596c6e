"""Numbers, durations and times are written in one way."""

from __future__ import annotations

import datetime

import pytest

from archsearch.formatting import duration, epochs_text, folder_name, html_table, moment, number, percent, pluralize
from archsearch.library import analyse, check
from archsearch.search.storage.read import StudyRead, TrialRead


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


def test_a_noun_agrees_with_its_count() -> None:
    assert [pluralize(each, "trial") for each in (0, 1, 1000)] == ["0 trials", "1 trial", "1 000 trials"]
    assert [epochs_text(each) for each in (1.0, 4, None)] == ["1 epoch", "4 epochs", "all epochs"]


def test_a_share_is_a_percentage() -> None:
    assert (percent(0.3), percent(0.86123, 1)) == ("30.00 %", "86.1 %")


def test_a_moment_is_in_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    assert moment(datetime.datetime(2026, 11, 24, 3, 18, tzinfo=zone)) == "2026-11-24 01:18 UTC"


def test_numbers_are_readable_and_markup_is_text() -> None:
    html = html_table("a <b>", ["x & y"], [[12345, 0.123456], [None, True], ["<script>", '"q"']])
    assert html.startswith("<table><caption>a &lt;b&gt;</caption><thead><tr><th>x &amp; y</th></tr></thead>")
    assert "<td>12\u202f345</td><td>0.1235</td>" in html
    assert "<td>-</td><td>yes</td>" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html


def test_a_footprint_shows_its_layers() -> None:
    footprint = analyse("c1c2c3c4")
    html = footprint._repr_html_()
    assert html.count("<tr>") == len(footprint.layers) + 1
    assert "161\u202f210 parameters, 19\u202f879\u202f168 MACs, receptive field 49 px" in html


def test_a_check_shows_its_margins_with_the_fixes() -> None:
    html = check("resnet20")._repr_html_()
    assert "resnet20: breaks 3 of 6 limits" in html
    assert "arch.width=" in html


def test_a_study_shows_its_trials_best_first_without_markup_of_theirs() -> None:
    trials = tuple(
        TrialRead(
            number=number, state="complete", values=(value,),
            assignments={"same": 1, "block": f"<img {number}>", "idle": number}, constraints={}, history={},
            attrs={"parameters": 1000 * number, "unused": ["idle"]}, started=None, finished=None,
        )
        for number, value in ((1, 0.5), (2, 0.75))
    )  # fmt: skip
    study = StudyRead(name="<s>", objectives=("accuracy",), directions=("maximize",), attrs={}, trials=trials)
    html = study._repr_html_()
    assert html.index("75.00 %") < html.index("50.00 %")
    assert "<td>block=&lt;img 1&gt;</td>" in html, "what differs, and meant something"
    assert "&lt;s&gt;: 2 trials, 2 complete" in html
    assert "<img" not in html


@pytest.mark.parametrize(
    ("name", "start"),
    [("a/../b", "a_.._b-"), ("..", "study-"), ("\u540d" * 200, "\u540d" * 40 + "-"), ("x" * 300, "xxx")],
)
def test_any_name_is_that_of_one_folder(name: str, start: str) -> None:
    found = folder_name(name)
    assert found.startswith(start)
    assert "/" not in found
    assert len(found.encode()) < 150
    assert found != folder_name(f"{name}/")


def test_a_plain_name_stays_as_it_is() -> None:
    assert folder_name("shapes-tiny.2_\u540d") == "shapes-tiny.2_\u540d"
