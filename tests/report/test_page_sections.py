from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from study_fakes import make_study, make_trial, odd

from archsearch.report.page_sections import (
    course_section,
    importance_section,
    summary,
    trade_off_section,
    trial_facts,
)
from archsearch.search.explain import explain
from archsearch.search.storage.read import StudyRead


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_summary_has_the_best_in_figures(searched: Callable[..., StudyRead]) -> None:
    study = searched(60)
    best = study.ranked()[0]
    found = plain(summary(study, explain(study)))
    assert f"<dd>{100 * (best.values or (0,))[0]:.2f} %</dd>" in found
    assert f"The best is trial {best.number}:" in found
    assert "Last activity 2026-03-01" in found


def test_of_several_objectives_the_front_is_counted(searched: Callable[..., StudyRead]) -> None:
    study = searched(60, several=True)
    assert f"<dt>designs on the Pareto front</dt><dd>{len(study.front())}</dd>" in summary(study, explain(study))
    assert "<h3>MACs from trial to trial</h3>" in course_section(study)
    assert trade_off_section(study).count("<figure") == 2


def test_a_study_without_costs_says_so() -> None:
    study = make_study([make_trial(0, values=(0.5,))])
    assert "No trial says both its value and what it costs." in trade_off_section(study)
    assert "No trial has ended yet." in course_section(make_study([]))


def test_what_matters_comes_first_and_every_setting_has_its_values() -> None:
    trials = [make_trial(i, assignments={"a": i, "b": "xy"[i % 2], "c": 1}) for i in range(9)]
    found = importance_section(make_study(trials), {"b": 0.75, "a": 0.25, "x": float("nan")})
    assert found.index(">b<") < found.index(">a<")
    assert "<td>0 to 8</td>" in found
    assert "<td>x, y</td>" in found
    assert "75.0 %" in found
    assert "too few complete trials" in importance_section(make_study(trials), {})


def test_a_tip_tells_a_trial_in_few_lines() -> None:
    many = {f"arch.stages.c{i}.width": i for i in range(12)}
    trial = make_trial(3, values=(0.5,), attrs={"parameters": 1000, "macs": 7}, assignments=many)
    lines = [plain(line) for line in trial_facts(make_study([trial]), trial, list(many))]
    assert lines[:3] == ["Trial 3, complete", "held-out accuracy 50.00 %", "1 000 parameters, 7 MACs"]
    assert re.fullmatch(r"c0.width=0 .* c7.width=7 and 4 more", lines[3])
    failed = make_trial(4, "failed", attrs={"cause": "out of luck"})
    assert trial_facts(make_study([failed]), failed, []) == ["Trial 4, failed", "out of luck"]


@pytest.mark.parametrize("name", odd())
def test_odd_studies_have_every_section(name: str) -> None:
    study = odd()[name]
    for found in (summary(study, explain(study)), trade_off_section(study), course_section(study)):
        assert found.startswith("<section")
        assert " nan" not in found
