from __future__ import annotations

import re

from study_fakes import make_study, make_trial, odd

from archsearch.report.study_charts import bars_chart, course_chart, curves_chart, trade_off_chart
from archsearch.report.study_series import course, curves, trade_off
from archsearch.search.storage.read import StudyRead


def simple(count: int) -> StudyRead:
    return make_study(
        [
            make_trial(
                i, values=(0.5 + i / 1e4,), attrs={"parameters": 1000 + 10 * i}, history={1: 0.2, 2: 0.5 + i / 1e4}
            )
            for i in range(count)
        ]
    )


def test_a_trade_off_has_a_point_for_every_trial_and_its_limit() -> None:
    drawn = trade_off_chart(trade_off(simple(20), "parameters"), {"below 1 100": 1100.0, "below 9": 9.0})
    assert len(re.findall(r'class="p (?:best|complete)" data-t', drawn)) == 20
    assert "below 1 100" in drawn
    assert "below 9" not in drawn, "it lies beyond the axis"
    assert "<title>trial 3: 50.03" in drawn


def test_thousands_of_points_are_thinned_and_it_is_said() -> None:
    study = simple(5000)
    found = trade_off(study, "parameters")
    worse = [make_trial(i, values=(0.4,), attrs={"parameters": 10_000 + i}) for i in range(5000)]
    drawn = trade_off_chart(trade_off(make_study([*study.trials[:3], *worse[3:]]), "parameters"))
    assert "Thinned: 1000 of 5000 points are drawn." in drawn
    assert "Thinned" not in trade_off_chart(found), "all of it is the front"
    assert "Thinned: 60 of 5000 curves are drawn." in curves_chart(curves(study))


def test_what_lies_far_below_is_drawn_at_the_edge_and_counted() -> None:
    trials = [*simple(20).trials, make_trial(20, "pruned", history={1: 0.01}, attrs={"parameters": 1000})]
    assert "1 trial lies beyond the axis and is drawn at its edge." in course_chart(course(make_study(trials)))


def test_every_end_has_a_mark_and_a_key() -> None:
    trials = [make_trial(i, state) for i, state in enumerate(("infeasible", "failed", "diverged"))]
    drawn = course_chart(course(make_study([*trials, make_trial(3, values=(0.5,))])))
    for text in ("refused before training", "failed", "diverged", "best so far"):
        assert f"{text}</li>" in drawn
    assert 'class="p failed"' in drawn


def test_the_best_curves_differ_without_colour() -> None:
    drawn = curves_chart(curves(simple(9)))
    dashes = re.findall(r'class="curve c(\d)"(?: stroke-dasharray="([\d ]+)")? data-t', drawn)
    assert len(dashes) == 5
    assert len({dash for _, dash in dashes}) == 5


def test_bars_are_in_order_and_the_rest_is_added_up() -> None:
    drawn = bars_chart("Bars", {f"p{i}": i / 100 for i in range(20)}, "share", [])
    assert drawn.index(">p19<") < drawn.index(">p8<")
    assert "8 more have 28.0 % together." in drawn
    assert "1\N{NO-BREAK SPACE}500" in bars_chart("Bars", {"a": 1500.0, "b": 0.0}, "count", [])


def test_odd_studies_are_drawn_with_numbers_alone() -> None:
    for study in odd().values():
        for place in range(len(study.objectives)):
            found = course(study, place)
            drawn = course_chart(found) if found.points or found.ends else ""
            coordinates = re.findall(r' (?:c?[xy][12]?|d|width|height)="([^"]*)"', drawn)
            assert not [each for each in coordinates if re.search("nan|inf", each)]
