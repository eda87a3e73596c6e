"""A study of thousands of trials: its figures and its page have bounded size, whatever share of it is best."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from study_fakes import make_study, make_trial

from archsearch import formatting
from archsearch.report.figures.charts import Chart
from archsearch.report.figures.study import MOST_POINTS, study_figures
from archsearch.report.html.page import study_page
from archsearch.report.series import pareto_front, thinned
from archsearch.search.storage.read import StudyRead

COUNT = 5000


def everything_better(draw: random.Random, number: int) -> tuple[float, ...]:
    return ((number + draw.random()) / COUNT,)


def two_against_each_other(draw: random.Random, number: int) -> tuple[float, ...]:
    accuracy = draw.random()
    return accuracy, 1e6 * accuracy


def three_against_each_other(draw: random.Random, number: int) -> tuple[float, ...]:
    accuracy, share = draw.random(), draw.random()
    return accuracy, 1e6 * share, 1e6 * (accuracy - share)


def study_of(values: Callable[[random.Random, int], tuple[float, ...]]) -> StudyRead:
    draw = random.Random(0)
    trials = []
    count = len(values(draw, 0))
    for number in range(COUNT):
        found = values(draw, number)
        trials.append(
            make_trial(
                number,
                values=found,
                assignments={f"arch.stages.c{stage}.width": draw.random() for stage in range(8)},
                history={epoch: found[0] * epoch / 40 for epoch in range(1, 41)},
                attrs={"parameters": 10 + number, "cause": "x" * 50},
            )
        )
    objectives = ("accuracy", "macs", "seconds")[:count]
    return make_study(trials, objectives=objectives, directions=("maximize", "minimize", "minimize")[:count])


@pytest.mark.parametrize("values", [everything_better, two_against_each_other, three_against_each_other])
def test_the_figures_and_the_page_have_a_bounded_size(
    values: Callable[[random.Random, int], tuple[float, ...]],
) -> None:
    study = study_of(values)
    if values is not everything_better:
        assert len(pareto_front(study)) == COUNT
    for figure in study_figures(study, {}).values():
        for chart in figure.panels:
            assert isinstance(chart, Chart)
            assert sum(len(points.data) for points in chart.points) <= MOST_POINTS
            if any(points.label for points in chart.points):
                assert f"of {formatting.number(COUNT)} points are drawn" in " ".join(chart.notes)
    page = study_page(study, importances={})
    assert page.count("<tr") < 700
    assert len(page) < 3_000_000


@pytest.mark.parametrize(("wanted", "most"), [(0, 10), (3, 10), (10, 10), (60, 10), (100, 10), (5, 500)])
def test_what_is_kept_comes_first_and_no_more_than_asked_for(wanted: int, most: int) -> None:
    items = list(range(100))
    found = thinned(items, most, lambda item: item < wanted)
    assert len(found) == min(most, 100)
    assert found == sorted(set(found))
    assert sum(item < wanted for item in found) == min(wanted, most)
