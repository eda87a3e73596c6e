"""The sections of the page that draw: summary, cost, history, importance, and infeasible and failed trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archsearch.formatting import duration, moment, number, percent
from archsearch.report.figures.study import (
    history_charts,
    importance_chart,
    infeasible_chart,
    learning_curves,
    trade_off_charts,
)
from archsearch.report.html.markup import Child, Markup, el
from archsearch.report.html.parts import chart, no_data, note, section, settings, table, tied, titled, value_cell
from archsearch.report.series import pareto_front, ranked_finite, value_of, varied_settings
from archsearch.report.summary import last_activity, sentences, training_times
from archsearch.report.vocabulary import (
    INFEASIBLE,
    TRAINED,
    capitalised,
    cut,
    finite,
    infeasible_counts,
    label,
    labelled_value,
    setting_text,
)
from archsearch.search.explaining import Why
from archsearch.search.reading import StudyRead, TrialRead

FOOTPRINT = ("parameters", "macs", "receptive_field")
MOST_TRACES = 10
_MOST_CHARTS, _MOST_HISTORIES = 6, 4
_MOST_LINES = 20
_TRACE = 6_000  # letters of a traceback's end


def summary_section(study: StudyRead, why: Why) -> Markup:
    """Return the study in a few figures and sentences."""
    best = next(iter(ranked_finite(study)), None)
    facts: list[tuple[str, str]] = []
    name, *others = study.objectives
    if best is not None and others:
        facts.append(("designs on the Pareto front", number(len(pareto_front(study)))))
    elif best is not None:
        facts.append((f"best {label(name)}", value_cell(name, value_of(study, best, name))))
        known = {each: value_of(study, best, each) for each in FOOTPRINT if each != name}
        facts += [(f"its {label(each)}", value_cell(each, value)) for each, value in known.items() if value is not None]
    if study.trials:
        counts = study.counts()
        facts.append(("designs trained", number(sum(counts.get(state, 0) for state in TRAINED))))
    checked = infeasible_counts(why)
    if infeasible := checked.proposed - checked.feasible:
        facts.append(("infeasible proposals", number(infeasible)))
    if times := training_times(study):
        facts.append(("training time", duration(sum(times))))
    cards = [el("div", el("dt", text), el("dd", tied(value))) for text, value in facts]
    last = last_activity(study)
    return section(
        "summary",
        "Summary",
        el("p", tied(" ".join(sentences(study, why))), class_="lead"),
        el("dl", cards, class_="facts") if cards else None,
        note(f"Last activity {moment(last) if last else 'not recorded'}.") if study.trials else None,
    )


def trade_off_section(study: StudyRead) -> Markup:
    """Return the first objective against each cost."""
    charts = [chart(each) for each in trade_off_charts(study)[:_MOST_CHARTS]]
    if not charts:
        return section("trade-off", "Accuracy and cost", no_data("No data: no trial has both a value and a cost."))
    text = (
        "Diamonds form the Pareto front: no other design is better in every objective shown. Dashed lines are limits."
    )
    title = f"{capitalised(label(study.objectives[0]))} and cost"
    return section("trade-off", title, el("p", text), el("div", charts, class_="charts"))


def history_section(study: StudyRead) -> Markup:
    """Return the objectives by trial and the learning curves."""
    charts = [chart(each) for each in history_charts(study)[:_MOST_HISTORIES]]
    if curves := learning_curves(study):
        charts.append(chart(curves))
    if not charts:
        return section("history", "History", no_data("No data: no trial has ended yet."))
    return section("history", "History", el("div", charts, class_="charts"))


def importance_section(study: StudyRead, shares: Mapping[str, float]) -> Markup:
    """Return the importance of each setting, and the values that were tried."""
    drawn = importance_chart(shares)
    missing = "No data: too few complete trials, or too few settings that differ."
    known = {name: value for name, share in shares.items() if (value := finite(share)) is not None and value >= 0}
    tried = list(varied_settings(study).items())[:60]
    lines = [[el("code", name), _values(values), _share(known.get(name))] for name, values in tried]
    lines.sort(key=lambda line: str(line[2]) == "–")
    heads = ["setting", "values tried", "share"]
    title = "Settings and values tried"
    goal = "among the best tenth" if len(study.objectives) == 1 else "near the Pareto front"
    text = (
        f"How much each setting decides whether a design is {goal} (PED-ANOVA of Optuna). "
        "Effects of settings that matter only together are not included."
    )
    values = el("div", table(title, heads, lines, numbers=[2])) if lines else None
    charts = el("div", chart(drawn) if drawn else no_data(missing), values, class_="charts")
    return section("importance", "Importance", el("p", text) if known else None, charts)


def infeasible_section(study: StudyRead, why: Why) -> Markup:
    """Return how many designs each limit made infeasible, the nearest misses, and the failures with tracebacks."""
    counts = infeasible_counts(why)
    broken = [trial for trial in study.trials if trial.state == INFEASIBLE]
    parts: list[Child] = []
    if counts.by_limit:
        text = (
            f"{number(counts.feasible)} of {number(counts.proposed)} proposals kept every limit. "
            "A design that breaks several limits counts for each."
        )
        parts.append(el("div", chart(infeasible_chart(counts.by_limit, [text])), _nearest(study, why), class_="charts"))
    elif broken:
        causes = [[str(trial.number), trial.cause or "no cause recorded"] for trial in broken]
        parts.append(el("p", f"{len(broken)} designs were infeasible; the limits that they broke were not recorded."))
        parts.append(table("Infeasible designs", ["trial", "cause"], causes[:_MOST_LINES]))
    else:
        parts.append(no_data("No design was infeasible."))
    if warning := counts.warning():
        parts.append(el("p", capitalised(warning), class_="warning"))
    if why.failures:
        causes = list(why.failures.items())
        lines = [[cut(cause, 400), number(len(trials)), _numbers(trials)] for cause, trials in causes[:_MOST_LINES]]
        parts.append(titled("Failed and diverged", table("Failures", ["cause", "count", "trials"], lines, numbers=[1])))
        if len(causes) > _MOST_LINES:
            parts.append(note(f"{len(causes) - _MOST_LINES} rarer causes are left out."))
        parts += _tracebacks(study)
    return section("infeasible", "Infeasible and failed", *parts)


def trial_facts(study: StudyRead, trial: TrialRead, tried: Sequence[str]) -> list[str]:
    """Return the lines of a trial that are shown where the pointer is on it."""
    measured = {name: value_of(study, trial, name) for name in (*study.objectives, *FOOTPRINT)}
    values = [labelled_value(name, value) for name in study.objectives if (value := measured[name]) is not None]
    costs = [
        labelled_value(name, value)
        for name, value in measured.items()
        if name not in study.objectives and value is not None
    ]
    lines = [f"Trial {trial.number}, {trial.state}", ", ".join(values), ", ".join(costs)]
    if trial.state != "complete" and trial.cause:
        lines.append(cut(trial.cause, 160))
    if texts := settings(trial, tried):
        lines.append(" ".join(texts[:8]) + (f" and {len(texts) - 8} more" if len(texts) > 8 else ""))
    return [tied(line) for line in lines if line]


def _share(share: float | None) -> str:
    return "–" if share is None else tied(percent(share, 1))


def _values(values: Sequence[object]) -> str:
    numbers = [found for value in values if (found := finite(value)) is not None]
    if len(numbers) == len(values) and len(numbers) > 6:
        return f"{setting_text(min(numbers))} to {setting_text(max(numbers))}"
    if len(numbers) == len(values):
        return ", ".join(map(setting_text, sorted(numbers)))
    texts = [cut(setting_text(value), 60) for value in values]
    return ", ".join(texts[:12]) + (f" and {len(texts) - 12} more" if len(texts) > 12 else "")


def _nearest(study: StudyRead, why: Why) -> Markup | None:
    if not why.nearest:
        return None
    tried = list(varied_settings(study))
    lines = [
        [
            str(miss.trial.number),
            ", ".join(f"{name} by {_excess(excess)}" for name, excess in miss.excess.items()),
            cut(" ".join(settings(miss.trial, tried)), 220),
        ]
        for miss in why.nearest
    ]
    return titled("Nearest misses", table("Nearest misses", ["trial", "misses", "settings"], lines))


def _excess(excess: float) -> str:
    return tied(f"{100 * excess:.2g} %") if excess < 10 else f"{excess:.3g} times the bound"


def _tracebacks(study: StudyRead) -> list[Child]:
    traces = {
        trial.number: trace
        for trial in study.trials
        if trial.state == "failed" and isinstance(trace := trial.attrs.get("traceback"), str)
    }
    found: list[Child] = [
        el("details", el("summary", f"Traceback of trial {trial}"), el("pre", trace[-_TRACE:], tabindex=0))
        for trial, trace in list(traces.items())[:MOST_TRACES]
    ]
    if len(traces) > MOST_TRACES:
        found.append(note(f"{len(traces) - MOST_TRACES} more tracebacks are in the study database."))
    return found


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(str(each) for each in numbers[:12]) + (" …" if len(numbers) > 12 else "")
