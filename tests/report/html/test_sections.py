from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from study_fakes import HOSTILE, TRACE, make_study, make_trial, odd

from archsearch.report.html.sections import (
    history_section,
    importance_section,
    infeasible_section,
    summary_section,
    trade_off_section,
    trial_facts,
)
from archsearch.report.vocabulary import INFEASIBLE
from archsearch.search.explain import explain
from archsearch.search.storage.read import StudyRead


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_summary_has_the_best_in_figures(searched: Callable[..., StudyRead]) -> None:
    study = searched(60)
    best = study.ranked()[0]
    found = plain(summary_section(study, explain(study)))
    assert f"<dd>{100 * (best.values or (0,))[0]:.2f} %</dd>" in found
    assert f"The best is trial {best.number}:" in found
    assert "Last activity 2026-03-01" in found


def test_of_several_objectives_the_front_is_counted(searched: Callable[..., StudyRead]) -> None:
    study = searched(60, several=True)
    assert f"<dt>designs on the Pareto front</dt><dd>{len(study.front())}</dd>" in summary_section(
        study, explain(study)
    )
    assert "<h3>MACs by trial</h3>" in history_section(study)
    assert trade_off_section(study).count("<figure") == 2


def test_a_study_without_costs_says_so() -> None:
    study = make_study([make_trial(0, values=(0.5,))])
    assert "No data: no trial has both a value and a cost." in trade_off_section(study)
    assert "No data: no trial has ended yet." in history_section(make_study([]))


def test_importances_come_first_and_every_setting_has_its_values() -> None:
    trials = [make_trial(i, assignments={"a": i, "b": "xy"[i % 2], "c": 1}) for i in range(9)]
    found = importance_section(make_study(trials), {"b": 0.75, "a": 0.25, "x": float("nan")})
    assert found is not None
    assert found.index(">b<") < found.index(">a<")
    assert "<td>0 to 8</td>" in found
    assert "<td>x, y</td>" in found
    assert "75.0 %" in found
    assert importance_section(make_study(trials), {}) is None


def test_the_facts_of_a_trial_are_few_lines() -> None:
    many = {f"arch.stages.c{i}.width": i for i in range(12)}
    trial = make_trial(3, values=(0.5,), attrs={"parameters": 1000, "macs": 7}, assignments=many)
    lines = [plain(line) for line in trial_facts(make_study([trial]), trial, list(many))]
    assert lines[:3] == ["Trial 3, complete", "validation accuracy 50.00 %", "1 000 parameters, 7 MACs"]
    assert re.fullmatch(r"c0.width=0 .* c7.width=7 and 4 more", lines[3])
    failed = make_trial(4, "failed", attrs={"cause": "out of luck"})
    assert trial_facts(make_study([failed]), failed, []) == ["Trial 4, failed", "out of luck"]


@pytest.mark.parametrize("name", odd())
def test_odd_studies_have_every_section(name: str) -> None:
    study = odd()[name]
    for found in (summary_section(study, explain(study)), trade_off_section(study), history_section(study)):
        assert found.startswith("<section")
        assert " nan" not in found


def infeasible(study: StudyRead) -> str:
    return infeasible_section(study, explain(study))


def test_limits_are_counted_and_the_nearest_misses_listed() -> None:
    found = infeasible(odd()["infeasible"])
    assert "0 of 30 proposals kept every limit." in found
    assert found.index('<th scope="row">0</th><td>parameters by 10.0\N{NO-BREAK SPACE}%</td>') > 0
    assert '<th scope="row">4</th>' in found
    assert '<th scope="row">5</th>' not in found, "the nearest five"


def test_a_search_that_finds_nothing_has_a_warning() -> None:
    trials = [make_trial(i, INFEASIBLE, constraints={"macs": 1.0}) for i in range(400)]
    assert 'class="warning">Only 0.00 % of 400 proposals' in infeasible(make_study(trials))


def test_causes_are_counted_and_tracebacks_are_there_as_text() -> None:
    trials = [make_trial(i, "failed", attrs={"cause": "a bug", "traceback": TRACE + HOSTILE}) for i in range(14)]
    found = infeasible(make_study(trials))
    assert "<td" in found
    assert "failed: a bug" in found
    assert found.count("<details>") == 10
    assert "4 more tracebacks are in the study database." in found
    assert "a &lt;b&gt;bug&lt;/b&gt;" in found
    assert "<b>" not in found


def test_many_causes_are_cut_and_counted() -> None:
    assert "10 rarer causes are left out." in infeasible(odd()["failed"])


def test_infeasible_without_limits_and_none_infeasible() -> None:
    assert "the limits that they broke were not recorded" in infeasible(odd()["infeasible without limits"])
    assert "No design was infeasible." in infeasible(make_study([]))
