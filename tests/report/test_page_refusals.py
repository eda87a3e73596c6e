from __future__ import annotations

from study_fakes import HOSTILE, TRACE, make_study, make_trial, odd

from archsearch.report.page_refusals import refusal_section
from archsearch.search.explain import explain
from archsearch.search.storage.read import StudyRead


def section_of(study: StudyRead) -> str:
    return refusal_section(study, explain(study))


def test_limits_are_counted_and_the_nearest_misses_told() -> None:
    found = section_of(odd()["infeasible"])
    assert "Of 30 proposals 0 kept every limit." in found
    assert found.index('<th scope="row">0</th><td>parameters by 10 %</td>') > 0
    assert '<th scope="row">4</th>' in found
    assert '<th scope="row">5</th>' not in found, "the nearest five"


def test_a_search_that_finds_nothing_is_warned_of() -> None:
    trials = [make_trial(i, "infeasible", constraints={"macs": 1.0}) for i in range(400)]
    assert 'class="warning">Only 0 % of 400 proposals' in section_of(make_study(trials))


def test_causes_are_counted_and_tracebacks_are_there_as_text() -> None:
    trials = [make_trial(i, "failed", attrs={"cause": "a bug", "traceback": TRACE + HOSTILE}) for i in range(14)]
    found = section_of(make_study(trials))
    assert "<td" in found
    assert "failed: a bug" in found
    assert found.count("<details>") == 10
    assert "4 more tracebacks stand in the study database." in found
    assert "a &lt;b&gt;bug&lt;/b&gt;" in found
    assert "<b>" not in found


def test_many_causes_are_cut_and_it_is_said() -> None:
    assert "10 rarer causes are left out." in section_of(odd()["failed"])


def test_refused_in_silence_and_nothing_refused() -> None:
    assert "which limit they broke was not recorded" in section_of(odd()["refused in silence"])
    assert "Nothing was refused." in section_of(make_study([]))
