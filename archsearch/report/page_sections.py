"""The sections of a study's page that tell and draw: summary, trade-offs, course, importance, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archsearch.formatting import number
from archsearch.report.markup import Markup, el
from archsearch.report.page_parts import cost_bounds, cut, nothing, scrolling, section, settings_words, table
from archsearch.report.study_charts import bars_chart, course_chart, curves_chart, trade_off_chart
from archsearch.report.study_series import (
    brief_setting,
    course,
    curves,
    finite,
    front,
    measured,
    trade_offs,
    varied,
)
from archsearch.report.study_words import (
    cell,
    duration,
    headline,
    last_activity,
    moment,
    named,
    phrase,
    said,
    sentences,
)
from archsearch.search.explain import Why
from archsearch.search.storage.read import StudyRead, TrialRead


def summary(study: StudyRead, why: Why) -> Markup:
    """Return the study in a few figures and sentences."""
    best = headline(study)
    facts: list[tuple[str, str]] = []
    if best is not None:
        name, *others = study.objectives
        if others:
            facts.append(("designs on the Pareto front", number(len(front(study)))))
        else:
            words = {
                "parameters": "its parameters",
                "macs": "its MACs",
                "receptive_field": "its receptive field",
                name: f"best {named(name, lower=True)}",
            }
            known = {each: measured(study, best, each) for each in (name, *(each for each in words if each != name))}
            facts += [(words[each], cell(each, value)) for each, value in known.items() if value is not None]
    counts = study.counts()
    trained = sum(counts.get(state, 0) for state in ("complete", "pruned", "diverged", "failed"))
    if study.trials:
        facts.append(("designs trained", number(trained)))
    if refused := why.infeasible.proposed - why.infeasible.feasible:
        facts.append(("proposals refused", number(refused)))
    spent = [seconds for trial in study.trials if (seconds := finite(trial.seconds)) is not None]
    if spent:
        facts.append(("of training", duration(sum(spent))))
    cards = [el("div", el("dt", words), el("dd", value)) for words, value in facts]
    return section(
        "summary",
        "Summary",
        el("p", " ".join(sentences(study, why)), class_="lead"),
        el("dl", cards, class_="facts") if cards else None,
        el("p", f"Last activity {moment(last_activity(study))}.", class_="note") if study.trials else None,
    )


def trade_off_section(study: StudyRead) -> Markup:
    """Return the first objective against what it costs."""
    found = trade_offs(study)
    if not found:
        return section("trade-off", "Accuracy and cost", nothing("No trial says both its value and what it costs."))
    charts = [trade_off_chart(each, cost_bounds(study, each.cost)) for each in found[:6]]
    return section(
        "trade-off",
        f"{named(study.objectives[0])} and cost",
        el("p", "The diamonds are beaten by no other design in both: the front. Dashed upright lines are limits."),
        el("div", charts, class_="charts"),
    )


def course_section(study: StudyRead) -> Markup:
    """Return the objectives from trial to trial and the learning curves."""
    courses = [course(study, place) for place in range(min(len(study.objectives), 4))]
    charts = [course_chart(each) for each in courses if each.points or each.ends]
    learning = curves(study)
    if learning.drawn:
        charts.append(curves_chart(learning, "best" if len(study.objectives) == 1 else "front's first"))
    if not charts:
        return section("course", "Course", nothing("No trial has ended yet."))
    return section("course", "Course", el("div", charts, class_="charts"))


def importance_section(study: StudyRead, shares: Mapping[str, float]) -> Markup:
    """Return which parameters matter, and which values were tried."""
    tried = varied(study)
    known = {name: share for name, share in shares.items() if finite(share) is not None and share >= 0}
    drawing = (
        bars_chart("Importance of each parameter", known, "share", ["Shares add up to 100 %."])
        if known
        else nothing("There are too few complete trials, or too few settings that differ, to say which of them matter.")
    )
    lines = [
        [el("code", name), _values(values), said_share(known.get(name))] for name, values in list(tried.items())[:60]
    ]
    lines.sort(key=lambda line: str(line[2]) == "–")
    among = "among the best tenth" if len(study.objectives) == 1 else "near the Pareto front"
    about = (
        f"How much each setting decides whether a design is {among} (PED-ANOVA of Optuna). "
        "It says nothing of settings that matter only together."
    )
    return section(
        "importance",
        "What matters",
        el("p", about) if known else None,
        el(
            "div",
            drawing,
            el(
                "div",
                scrolling(table(["setting", "values tried", "share"], lines, numbers=[2]), "Settings and values tried"),
            )
            if lines
            else None,
            class_="charts",
        ),
    )


def said_share(share: float | None) -> str:
    """Return a share in percent."""
    return "–" if share is None else f"{100 * share:.1f} %"


def trial_facts(study: StudyRead, trial: TrialRead, tried: Sequence[str]) -> list[str]:
    """Return what a chart's tip says of a trial, line by line."""
    lines = [f"Trial {trial.number}, {trial.state}"]
    values = [
        phrase(name, measured(study, trial, name))
        for name in study.objectives
        if measured(study, trial, name) is not None
    ]
    costs = [
        said(name, measured(study, trial, name))
        for name in ("parameters", "macs", "receptive_field")
        if name not in study.objectives and measured(study, trial, name) is not None
    ]
    lines += [", ".join(values)] * bool(values) + [", ".join(costs)] * bool(costs)
    if trial.state != "complete" and trial.cause:
        lines.append(cut(trial.cause, 160))
    told = settings_words(trial, tried)
    if told:
        lines.append(" ".join(told[:8]) + (f" and {len(told) - 8} more" if len(told) > 8 else ""))
    return lines


def _values(values: Sequence[object]) -> str:
    numbers = [found for value in values if (found := finite(value)) is not None]
    if len(numbers) == len(values) and len(numbers) > 6:
        return f"{brief_setting(min(numbers))} to {brief_setting(max(numbers))}"
    if len(numbers) == len(values):
        return ", ".join(brief_setting(value) for value in sorted(values, key=lambda each: finite(each) or 0.0))
    texts = [cut(brief_setting(value), 60) for value in values]
    return ", ".join(texts[:12]) + (f" and {len(texts) - 12} more" if len(texts) > 12 else "")
