"""The section of a study's page on what came to nothing: designs refused before training, and trainings that failed."""

from __future__ import annotations

from collections.abc import Sequence

from archsearch.formatting import number
from archsearch.report.markup import Child, Markup, el
from archsearch.report.page_parts import cut, nothing, scrolling, section, settings_words, table
from archsearch.report.study_charts import bars_chart
from archsearch.report.study_series import varied
from archsearch.search.explain import Why
from archsearch.search.storage.read import StudyRead

MOST_TRACES = 10
_MOST_LINES = 20
_TRACE = 6_000  # letters of a traceback's end


def refusal_section(study: StudyRead, why: Why) -> Markup:
    """Return which limits refused how many designs, the nearest misses, and what failed, with its traceback."""
    found = why.infeasible
    parts: list[Child] = []
    if found.by_limit:
        told = (
            f"Of {number(found.proposed)} proposals {number(found.feasible)} kept every limit. "
            "A design that breaks several limits counts for each."
        )
        counts = {name: float(count) for name, count in found.by_limit.items()}
        parts.append(
            el(
                "div",
                bars_chart("Proposals that each limit refused", counts, "count", [told]),
                _nearest(study, why),
                class_="charts",
            )
        )
    elif any(trial.state == "infeasible" for trial in study.trials):
        count = sum(trial.state == "infeasible" for trial in study.trials)
        causes = [
            [str(trial.number), trial.cause or "no cause was recorded"]
            for trial in study.trials
            if trial.state == "infeasible"
        ]
        parts.append(el("p", f"{count} designs were refused; which limit they broke was not recorded."))
        parts.append(scrolling(table(["trial", "cause"], causes[:_MOST_LINES]), "Refused designs"))
    else:
        parts.append(nothing("Nothing was refused."))
    if warning := found.warning():
        parts.append(el("p", f"{warning[0].upper()}{warning[1:]}", class_="warning"))
    if why.failures:
        lines = [
            [cut(cause, 400), number(len(numbers)), _numbers(numbers)]
            for cause, numbers in list(why.failures.items())[:_MOST_LINES]
        ]
        parts += [
            el("h3", "Failed and diverged"),
            scrolling(table(["cause", "trials", "which"], lines, numbers=[1]), "Causes of failures"),
        ]
        if len(why.failures) > _MOST_LINES:
            parts.append(el("p", f"{len(why.failures) - _MOST_LINES} rarer causes are left out.", class_="note"))
        parts += _traces(study)
    return section("refused", "Refused and failed", *parts)


def _nearest(study: StudyRead, why: Why) -> Markup | None:
    if not why.nearest:
        return None
    tried = list(varied(study))
    lines = [
        [
            str(miss.trial.number),
            ", ".join(f"{name} by {_excess(excess)}" for name, excess in miss.excess.items()),
            cut(" ".join(settings_words(miss.trial, tried)), 220),
        ]
        for miss in why.nearest
    ]
    found = scrolling(table(["trial", "misses", "settings"], lines), "Nearest misses")
    return el("div", el("h3", "Nearest misses"), found)


def _excess(excess: float) -> str:
    return f"{100 * excess:.2g} %" if excess < 10 else f"{excess:.3g} times the bound"


def _traces(study: StudyRead) -> list[Markup]:
    failed = [
        trial for trial in study.trials if trial.state == "failed" and isinstance(trial.attrs.get("traceback"), str)
    ]
    found = [
        el(
            "details",
            el("summary", f"Traceback of trial {trial.number}"),
            el("pre", str(trial.attrs["traceback"])[-_TRACE:], tabindex=0),
        )
        for trial in failed[:MOST_TRACES]
    ]
    if len(failed) > MOST_TRACES:
        found.append(
            el("p", f"{len(failed) - MOST_TRACES} more tracebacks stand in the study database.", class_="note")
        )
    return found


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(str(each) for each in numbers[:12]) + (" …" if len(numbers) > 12 else "")
