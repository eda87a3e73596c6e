"""The figures of a study: the same points, axes and limits in every format."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from study_fakes import hostile, make_study, make_trial, odd

from archsearch.errors import SpecError
from archsearch.report.figures.charts import BarChart, Chart, Figure, layout, legend, sheet
from archsearch.report.figures.drawing import Mark
from archsearch.report.figures.render import element, render
from archsearch.report.figures.study import (
    draw_study,
    history_chart,
    history_charts,
    importance_chart,
    infeasible_chart,
    learning_curves,
    study_figures,
    trade_off_chart,
    trade_off_charts,
)
from archsearch.report.html.page import study_page
from archsearch.report.series import last_accuracy, pareto_front
from archsearch.report.vocabulary import INFEASIBLE
from archsearch.search.storage.read import StudyRead, TrialState, front_of


def simple(count: int) -> StudyRead:
    return make_study(
        [
            make_trial(
                i, values=(0.5 + i / 1e4,), attrs={"parameters": 1000 + 10 * i}, history={1: 0.2, 2: 0.5 + i / 1e4}
            )
            for i in range(count)
        ]
    )


def marks(chart: Chart) -> list[Mark]:
    return [part for part in layout(chart).parts if isinstance(part, Mark)]


def charts(figures: Iterable[Figure]) -> list[Chart]:
    return [panel for figure in figures for panel in figure.panels if isinstance(panel, Chart)]


def front(chart: Chart | None) -> list[int | None]:
    assert chart is not None
    return [datum.trial for points in chart.points if points.look == "best" for datum in points.data]


def test_a_history_has_the_best_so_far_and_trials_without_a_value() -> None:
    trials = [make_trial(i, values=(value,)) for i, value in enumerate((0.5, 0.4, 0.7, math.nan))]
    trials += [make_trial(4, "pruned", history={1: 0.1, 2: 0.3, 3: math.nan}), make_trial(5, INFEASIBLE)]
    chart = history_chart(make_study(trials))
    assert chart is not None
    assert {points.look: [(one.trial, one.x, one.y) for one in points.data] for points in chart.points} == {
        "best": [(0, 0, 0.5), (2, 2, 0.7)],
        "complete": [(1, 1, 0.4)],
        "pruned": [(4, 4, 0.3)],
        INFEASIBLE: [(5, 5, None)],
    }
    assert chart.curves[0].points == ((0, 0.5), (2, 0.5), (2, 0.7), (5, 0.7))
    assert last_accuracy(trials[4]) == 0.3


def test_less_is_better_where_the_study_minimises() -> None:
    trials = [make_trial(i, values=(value,)) for i, value in enumerate((0.5, 0.4, 0.7))]
    chart = history_chart(make_study(trials, objectives=("loss",), directions=("minimize",)))
    assert front(chart) == [0, 1]


@pytest.mark.parametrize(("state", "expected"), [("complete", "fewer epochs"), ("pruned", "fewer epochs, or pruned")])
def test_trials_of_fewer_epochs_have_a_mark_of_their_own(state: TrialState, expected: str) -> None:
    trials = [
        make_trial(0, values=(0.9,)),
        make_trial(1, values=(0.5,), attrs={"rung": 2}),
        make_trial(2, state, values=(0.8,) if state == "complete" else None, history={1: 0.4}),
    ]
    chart = history_chart(make_study(trials))
    assert chart is not None
    assert expected in [each.label for each in chart.points]


def test_the_front_of_a_trade_off_is_beaten_by_none() -> None:
    known = [(0.9, 100), (0.8, 50), (0.7, 60), (0.9, 120)]
    study = make_study([make_trial(i, values=(a,), attrs={"parameters": p}) for i, (a, p) in enumerate(known)])
    [chart] = trade_off_charts(study)
    assert chart.x.label == "Parameters", "no trial has MACs"
    assert front(chart) == [1, 0]


def test_the_front_is_the_one_of_every_pair_against_every_other() -> None:
    draw = random.Random(3)
    known = [(draw.randrange(12) / 12, draw.randrange(12)) for _ in range(80)]
    study = make_study([make_trial(i, values=(a,), attrs={"parameters": p}) for i, (a, p) in enumerate(known)])
    expected = front_of({i: (-a, float(p)) for i, (a, p) in enumerate(known)})
    assert set(front(trade_off_chart(study, "parameters"))) == expected


def test_an_objective_of_which_more_is_better_is_no_cost() -> None:
    known = [(0.9, 40), (0.8, 90), (0.7, 60)]
    study = make_study(
        [make_trial(i, values=each) for i, each in enumerate(known)],
        objectives=("accuracy", "receptive_field"),
        directions=("maximize", "maximize"),
    )
    [chart] = trade_off_charts(study)
    assert chart.curves[0].points[-1][0] == chart.x.low, "less is worse"
    assert set(front(chart)) == {0, 1} == pareto_front(study)


def test_curves_are_thinned_and_the_best_stay() -> None:
    trials = [make_trial(i, values=(i / 300,), history={1: 0.1, 2: math.nan, 3: i / 300}) for i in range(300)]
    chart = learning_curves(make_study(trials), best=3, most=20)
    assert chart is not None
    assert "Thinned: 20 of 300 curves are drawn." in chart.notes
    assert len(chart.curves) == 20
    assert [(curve.trial, curve.look) for curve in chart.curves[:3]] == [(299, "c1"), (298, "c2"), (297, "c3")]
    assert chart.curves[0].points == ((1, 0.1), (3, 299 / 300))


def test_the_front_over_an_objective_is_the_studys_own() -> None:
    known = [(0.9, 100, 5), (0.8, 50, 9), (0.7, 60, 9), (0.6, 70, 3), (0.5, 80, 4)]
    study = make_study(
        [make_trial(i, values=values, attrs={"macs": 10 - i}) for i, values in enumerate(known)],
        objectives=("accuracy", "parameters", "seconds"),
        directions=("maximize", "minimize", "minimize"),
    )
    chart = trade_off_chart(study, "parameters")
    assert chart is not None
    assert set(front(chart)) == pareto_front(study) == {0, 1, 3}
    line = ((50, 0.8), (100, 0.8), (100, 0.9), (chart.x.high, 0.9))
    assert chart.curves[0].points == line, "no other trial beats these in the two that the chart shows"
    assert set(front(trade_off_chart(study, "macs"))) == {0, 1, 2, 3, 4}, "of accuracy and MACs alone"


def test_a_trade_off_has_a_point_for_every_trial_and_its_limit() -> None:
    limits = {"parameters": {"below": 1100, "at_most": 9}}
    chart = trade_off_chart(replace(simple(20), attrs={"limits_text": limits}), "parameters")
    assert chart is not None
    assert len(chart.limits) == 2
    drawn = element(layout(chart), usual_width=400)
    assert len(re.findall(r'class="p (?:best|complete) [^"]*" data-t', drawn)) == 20
    assert "below 1 100" in drawn
    assert "at most 9" not in drawn, "it is beyond the axis"
    assert "<title>trial 3: validation accuracy 50.03 %, 1 030 parameters</title>" in drawn


def test_every_format_shows_the_same_points(searched: Callable[..., StudyRead]) -> None:
    study = searched(60)
    figures = study_figures(study, {"a": 1.0})
    page = study_page(study, importances={"a": 1.0})
    for chart in charts(figures.values()):
        points = marks(chart)
        in_page = element(layout(chart), usual_width=400)
        assert str(in_page) in page, chart.title
        assert in_page.count('class="p ') == len(points)
        axes = render(layout(chart)).axes[0]
        centres = [path.get_extents() for each in axes.collections for path in each.get_paths()]
        assert len(centres) == len(points)
        drawn = {(round((each.x0 + each.x1) / 2), round((each.y0 + each.y1) / 2)) for each in centres}
        assert {(round(mark.x), round(mark.y)) for mark in points if mark.shape == "circle"} <= drawn


def test_thousands_of_points_are_thinned_with_a_note() -> None:
    study = simple(5000)
    worse = [make_trial(i, values=(0.4,), attrs={"parameters": 10_000 + i}) for i in range(5000)]
    chart = trade_off_chart(make_study([*study.trials[:3], *worse[3:]]), "parameters")
    front_alone, curves = trade_off_chart(study, "parameters"), learning_curves(study)
    assert chart is not None
    assert front_alone is not None
    assert curves is not None
    assert "Thinned: 1 000 of 5 000 points are drawn." in chart.notes
    assert len(marks(chart)) == 1000
    assert len(marks(front_alone)) == 1000, "of a front too"
    assert "Thinned: 60 of 5 000 curves are drawn." in curves.notes


def test_points_far_below_are_drawn_at_the_edge_and_counted() -> None:
    trials = [*simple(20).trials, make_trial(20, "pruned", history={1: 0.01}, attrs={"parameters": 1000})]
    chart = history_chart(make_study(trials))
    assert chart is not None
    assert "1 trial lies beyond the axis and is drawn at its edge." in chart.notes
    assert [mark.trial for mark in marks(chart) if mark.look == "pruned"] == [20]


def test_every_state_has_a_mark_and_a_key() -> None:
    trials = [make_trial(i, state) for i, state in enumerate((INFEASIBLE, "failed", "diverged"))]
    chart = history_chart(make_study([*trials, make_trial(3, values=(0.5,))]))
    assert chart is not None
    assert [key.text for key in legend(chart)] == ["best so far", "diverged", "failed", "infeasible"]
    assert {mark.look for mark in marks(chart)} == {"best", "diverged", "failed", "infeasible"}
    assert len({mark.shape for mark in marks(chart)}) == 4, "no colour is needed"


def test_the_best_curves_differ_without_colour() -> None:
    chart = learning_curves(simple(9))
    assert chart is not None
    assert [key.text for key in legend(chart)] == [*(f"trial {trial}" for trial in (8, 7, 6, 5, 4)), "other trials"]
    assert [curve.look for curve in chart.curves][:6] == ["c1", "c2", "c3", "c4", "c5", "curve"]
    rules = re.findall(r"\.l-c\d\{([^}]*)\}", study_page(simple(3), importances={}))
    assert len({rule.partition("dasharray")[2] for rule in rules}) == 5


def test_bars_are_in_order_and_the_rest_is_added_up() -> None:
    chart = importance_chart({f"p{i}": i / 100 for i in range(20)})
    assert chart is not None
    assert [name for name, _, _ in chart.bars] == [f"p{i}" for i in range(19, 7, -1)]
    assert "8 more have 28.0 % together." in chart.notes
    assert [text for _, _, text in infeasible_chart({"a": 1500, "b": 0}, []).bars] == ["1 500", "0"]
    assert importance_chart({"a": float("nan")}) is None
    zero = importance_chart({"a": 0.0})
    assert zero is not None
    assert zero.bars == (("a", 0.0, "0.0 %"),)


def test_odd_studies_are_drawn_with_numbers_alone() -> None:
    for study in odd().values():
        for chart in history_charts(study):
            drawn = element(layout(chart), usual_width=400)
            coordinates = re.findall(r' (?:c?[xy][12]?|d|width|height)="([^"]*)"', drawn)
            assert not [each for each in coordinates if re.search("nan|inf", each)]


def test_the_figures_show_the_trials(searched: Callable[..., StudyRead]) -> None:
    study = searched(60)
    figures = study_figures(study, {"arch.stages.c1.width": 0.75, "b": 0.25})
    complete = sum(trial.state == "complete" for trial in study.trials)
    for chart in charts([figures["pareto"]]):
        counts = {points.label: len(points.data) for points in chart.points}
        assert counts["complete"] + counts["Pareto front"] == complete
    assert charts([figures["pareto"]])[0].x.is_log
    [bars] = figures["importance"].panels
    assert isinstance(bars, BarChart)
    assert bars.bars == (("c1.width", 0.75, "75.0 %"), ("b", 0.25, "25.0 %"))
    [drawn] = charts([figures["curves"]])
    best = [f"trial {trial.number}" for trial in study.ranked()[:5]]
    assert [key.text for key in legend(drawn)] == [*best, "other trials"]


def test_of_several_objectives_each_has_its_history_and_the_front_is_the_studys(
    searched: Callable[..., StudyRead],
) -> None:
    study = searched(60, several=True)
    figures = study_figures(study, {})
    assert [chart.y.label for chart in charts([figures["history"]])] == ["Validation accuracy", "MACs"]
    assert "importance" not in figures
    [by_macs] = [chart for chart in charts([figures["pareto"]]) if "MACs" in chart.x.label]
    assert {mark.trial for mark in marks(by_macs) if mark.look == "best"} == study.front()


def test_every_figure_is_written_in_every_format(searched: Callable[..., StudyRead], tmp_path: Path) -> None:
    files = draw_study(searched(60), tmp_path / "pictures", ["png", "svg"], importances={"a.b": 1.0})
    names = [f"{name}.{each}" for name in ("history", "pareto", "importance", "curves") for each in ("png", "svg")]
    assert [file.name for file in files] == names
    for file in files:
        content = file.read_bytes()
        assert len(content) > 2500
        assert content.startswith(b"\x89PNG") if file.suffix == ".png" else content.endswith(b"</svg>\n")


@pytest.mark.parametrize("name", odd())
def test_odd_studies_are_drawn_as_far_as_they_go(name: str, tmp_path: Path) -> None:
    study = odd()[name]
    files = draw_study(study, tmp_path, ["svg"], importances={})
    assert {file.stem for file in files} <= {"history", "pareto", "curves"}
    ended = ("failed", "diverged", INFEASIBLE)
    drawn = [trial for trial in study.trials if trial.history or trial.values or trial.state in ended]
    assert bool(files) == bool(drawn and name != "not a number")


def test_names_of_any_letters_are_drawn(tmp_path: Path) -> None:
    draw_study(hostile(), tmp_path, ["png"], importances={"\x00" * 90: 1.0})
    text = make_study(list(odd()["single"].trials), name="研究 $x^2$ " * 9)
    assert len(draw_study(text, tmp_path, ["png"], importances={})) == 3


def test_a_sheet_has_three_charts_in_a_row(searched: Callable[..., StudyRead]) -> None:
    study = searched(60)
    [chart] = study_figures(study, {})["history"].panels
    one, three, four = (sheet(Figure(title="a", panels=(chart,) * count)) for count in (1, 3, 4))
    assert one.width < three.width == four.width
    assert one.height == three.height < four.height


def test_another_format_is_rejected_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is not a picture format"):
        draw_study(odd()["single"], tmp_path / "pictures", ["png", "doc"])
    assert not (tmp_path / "pictures").exists()
