"""The sections of the page: summary, cost, history, importance, failures, designs, conditions, all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archsearch.analysis.measure import Footprint
from archsearch.formatting import duration, epochs_text, moment, number, percent, pluralize, rung_text, setting_text
from archsearch.report.designs import read_design, stage_lines
from archsearch.report.figures.design import field_chart, network_legend, page_drawing
from archsearch.report.figures.render import textures
from archsearch.report.figures.study import (
    history_charts,
    importance_chart,
    infeasible_chart,
    learning_curves,
    trade_off_charts,
)
from archsearch.report.html.markup import Child, Markup, el
from archsearch.report.html.parts import (
    chart,
    figure,
    key_list,
    no_data,
    note,
    section,
    settings,
    table,
    tied,
    titled,
    value_cell,
)
from archsearch.report.records import ranking
from archsearch.report.series import cost_bounds, pareto_front, ranked_finite, thinned, value_of, varied_settings
from archsearch.report.summary import compared_text, distinct, last_activity, noun_of, sentences, training_times
from archsearch.report.vocabulary import (
    INFEASIBLE,
    TRAINED,
    bound_text,
    capitalised,
    compact,
    cut,
    finite,
    label,
    labelled_value,
    misses_text,
)
from archsearch.search.explain import Why
from archsearch.search.reproduce import command_again
from archsearch.search.storage.read import STATES, StudyRead, TrialRead

FOOTPRINT = ("parameters", "macs", "receptive_field")
MOST_TRACES = 10
_MOST_CHARTS, _MOST_HISTORIES = 6, 4
_MOST_LINES = 20
_TRACE = 6_000  # characters from the end of a traceback
BEST = 3
FRONT = 5
MOST_ROWS = 400
MOST_COMMANDS = 100
_LONGEST = 600  # characters of a text in a table, before it is cut


def summary_section(study: StudyRead, why: Why) -> Markup:
    """Return the summary of the study: key figures and sentences."""
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
        facts.append((f"{noun_of(study)}s trained", number(sum(counts.get(state, 0) for state in TRAINED))))
    if why.infeasible.infeasible:
        facts.append(("infeasible proposals", number(why.infeasible.infeasible)))
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
    """Return charts of the first objective against each cost and each further objective."""
    charts = [chart(each) for each in trade_off_charts(study)[:_MOST_CHARTS]]
    if not charts:
        return section("trade-off", "Accuracy and cost", no_data("No data: no trial has both a value and a cost."))
    which, several = "of the two values shown", len(study.objectives) > 1
    if several:
        which = f"of the study's objectives where a chart shows two of them, and otherwise {which}"
    text = f"Diamonds form the Pareto front {which}. Dashed lines are limits."
    title = f"{capitalised(label(study.objectives[0]))} and cost"
    return section("trade-off", title, el("p", text), el("div", charts, class_="charts"))


def history_section(study: StudyRead) -> Markup:
    """Return charts of the objectives by trial and of the learning curves."""
    charts = [chart(each) for each in history_charts(study)[:_MOST_HISTORIES]]
    if curves := learning_curves(study):
        charts.append(chart(curves))
    if not charts:
        return section("history", "History", no_data("No data: no trial has ended yet."))
    return section("history", "History", el("div", charts, class_="charts"))


def importance_section(study: StudyRead, shares: Mapping[str, float]) -> Markup | None:
    """Return the importance of each setting, and the values that were tried; None if it is not known."""
    drawn = importance_chart(shares)
    if drawn is None:
        return None
    known = {name: value for name, share in shares.items() if (value := finite(share)) is not None and value >= 0}
    tried = list(varied_settings(study).items())[:60]
    lines = [[el("code", name), _values(values), _share(known.get(name))] for name, values in tried]
    lines.sort(key=lambda line: str(line[2]) == "–")
    heads = ["setting", "values tried", "share"]
    title = "Settings and values tried"
    goal = "among the best tenth" if len(study.objectives) == 1 else "near the Pareto front"
    text = (
        f"How much each setting decides whether a design is {goal} (PED-ANOVA of Optuna, {compared_text(study)}). "
        "Effects of settings that matter only together are not included."
    )
    values = el("div", table(title, heads, lines, numbers=[2])) if lines else None
    return section("importance", "Importance", el("p", text), el("div", chart(drawn), values, class_="charts"))


def infeasible_section(study: StudyRead, why: Why) -> Markup:
    """Return how many designs each limit made infeasible, the nearest misses, and the failures with tracebacks."""
    counts = why.infeasible
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
        text = f"{pluralize(len(broken), 'infeasible design')}; the limits that they broke were not recorded."
        parts.append(el("p", text))
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
            parts.append(note(f"{number(len(causes) - _MOST_LINES)} rarer causes are left out."))
        parts += _tracebacks(study)
    return section("infeasible", "Infeasible and failed", *parts)


def trial_facts(study: StudyRead, trial: TrialRead, tried: Sequence[str]) -> list[str]:
    """Return the lines of a trial's tooltip."""
    lines = [f"Trial {trial.number}, {trial.state}", *_values_and_costs(study, trial)]
    if trial.state != "complete" and trial.cause:
        lines.append(cut(trial.cause, 160))
    if texts := settings(trial, tried):
        lines.append(" ".join(texts[:8]) + (f" and {len(texts) - 8} more" if len(texts) > 8 else ""))
    return [tied(line) for line in lines if line]


def _values_and_costs(study: StudyRead, trial: TrialRead) -> tuple[str, str]:
    """Return the objectives of a trial, and the other known values of its footprint, with labels."""
    costs = [name for name in FOOTPRINT if name not in study.objectives]
    values, others = (
        ", ".join(labelled_value(name, value) for name in names if (value := value_of(study, trial, name)) is not None)
        for names in (study.objectives, costs)
    )
    return values if trial.rung is None else f"{values} after {epochs_text(trial.rung)}", others


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
    lines: list[Sequence[Child]] = []
    for miss in why.nearest:
        texts = cut(" ".join(settings(miss.trial, tried)), 220)
        lines.append([str(miss.trial.number), tied(misses_text(miss.excess)), texts])
    return titled("Nearest misses", table("Nearest misses", ["trial", "misses", "settings"], lines))


def _tracebacks(study: StudyRead) -> list[Child]:
    traces = {
        trial.number: trace
        for trial in study.trials
        if trial.state == "failed" and isinstance(trace := trial.attrs.get("traceback"), str)
    }
    found = [
        el("details", el("summary", f"Traceback of trial {trial}"), el("pre", trace[-_TRACE:], tabindex=0))
        for trial, trace in list(traces.items())[:MOST_TRACES]
    ]
    left_out = len(traces) - len(found)
    return [*found, note(f"{left_out} more tracebacks are in the study database.") if left_out else None]


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(str(each) for each in numbers[:12]) + (" …" if len(numbers) > 12 else "")


def designs_section(study: StudyRead) -> Markup:
    """Return drawings of the best designs or, with several objectives, of designs spread over the Pareto front."""
    ranked = ranked_finite(study)
    if not ranked:
        return section("designs", "Best designs", no_data("No design has been fully trained."))
    chosen, title = ranked[:BEST], "Best designs"
    if len(study.objectives) > 1:
        front = pareto_front(study)
        there = [trial for trial in ranked if trial.number in front]
        chosen = thinned(there, FRONT, lambda trial: trial in (there[0], there[-1]))
        title = "Designs of the Pareto front"
    designs = {trial.number: read_design(trial) for trial in chosen}
    known = [design.plan for design in designs.values() if design is not None]
    text = (
        "Blocks are drawn to scale: the height is that of their output map, the width is its number of channels. "
        "A ring marks a dilated convolution."
    )
    return section(
        "designs",
        title,
        el("svg", textures(), width=0, height=0, class_="patterns", aria_hidden="true", focusable="false")
        if known
        else None,
        el("p", text) if known else None,
        key_list(network_legend(known)),
        [_design(study, trial, designs[trial.number]) for trial in chosen],
    )


def conditions_section(study: StudyRead, program: Mapping[str, str]) -> Markup:
    """Return the limits, the settings that all trials share, the versions and the hardware."""
    limits = study.attrs.get("limits_text")
    bounds = limits.items() if isinstance(limits, dict) else ()
    lines = [[label(str(name)), bound_text(bound)] for name, bound in bounds]
    directions = [
        f"{label(name)} ({direction}d)" for name, direction in zip(study.objectives, study.directions, strict=False)
    ]
    facts = [
        *((key.replace("_", " "), str(value)) for key in ("data", "data_fingerprint", "limits")
          if (value := study.attrs.get(key)) is not None),
        ("objectives", ", ".join(directions)),
        *((key, text) for key in ("device", "precision", "epochs", "seed", "batch") if (text := _shared(study, key))),
        *((f"version of {name}", text) for name, text in _versions(study).items()),
        *((f"{name}, which wrote this page", text) for name, text in program.items()),
    ]  # fmt: skip
    shared = [[el("code", name), el("code", value)] for name, value in _fixed(study).items()]
    title = "Settings that all trials share"
    return section(
        "conditions",
        "Limits, settings and versions",
        el(
            "div",
            titled(
                "Limits", table("Limits", ["limit", "bound"], lines) if lines else no_data("No limits are recorded.")
            ),
            titled("Conditions", table("Conditions", ["name", "value"], facts)),
            class_="charts",
        ),
        titled(title, table(title, ["setting", "value"], shared)) if shared else None,
    )


def trials_section(study: StudyRead) -> Markup:
    """Return up to `MOST_ROWS` trials, best first, with files and, for the best, the command that trains it again."""
    if not study.trials:
        return section("trials", "All trials", no_data("There is no trial yet."))
    ordered = ranking(study, states=STATES)
    shown = ordered[:MOST_ROWS]
    tried = list(varied_settings(study))
    costs = [name for name in FOOTPRINT if name not in study.objectives]
    there = [name for name in costs if any(value_of(study, trial, name) is not None for trial in shown)]
    names = [*study.objectives, *there]
    timed = any(trial.seconds is not None for trial in shown)
    rungs = ["epochs"] if study.has_rungs else []
    heads = ["trial", "state", *rungs, *(capitalised(label(name)) for name in names), *["time"] * timed,
             "settings that differ", "files", "command"]  # fmt: skip
    lines: list[list[Child]] = []
    for place, trial in enumerate(shown):
        has_command = place < MOST_COMMANDS and trial.state == "complete"
        values = [value_cell(name, value_of(study, trial, name)) for name in names]
        values += [value_cell("seconds", trial.seconds)] * timed
        command = command_again(study, trial) if has_command else None
        codes = [_code(each) for each in (" ".join(settings(trial, tried)), trial.attrs.get("run_dir"), command)]
        lines.append([str(trial.number), trial.state, *(rung_text(trial.rung) for _ in rungs), *values, *codes])
    notes = ["Trials with fewer epochs are ranked below all trials with more epochs."] if rungs else []
    if len(shown) < len(ordered):
        notes.append(f"The table is cut: {number(len(shown))} of {number(len(ordered))} trials, the best first.")
    if sum(trial.state == "complete" for trial in shown) > MOST_COMMANDS:
        notes.append(f"Commands are given for the best {MOST_COMMANDS}.")
    numeric, ids = range(2, 2 + len(rungs) + len(names) + timed), [f"trial-{trial.number}" for trial in shown]
    whole = table("All trials", heads, lines, numbers=numeric, ids=ids)
    return section("trials", "All trials", note(" ".join(notes)), whole)


def _design(study: StudyRead, trial: TrialRead, design: Footprint | None) -> Markup:
    values, costs = _values_and_costs(study, trial)
    parts: list[Child] = [el("h3", tied(f"Trial {trial.number}: {values}")), note(tied(costs))]
    if design is None:
        parts.append(no_data("No drawing: the design is not recorded."))
    else:
        bounds = cost_bounds(study, "receptive_field").items()
        required = next((value for text, value in bounds if text.startswith(("above", "at least"))), None)
        blocks = f"Blocks of trial {trial.number}"
        field = field_chart(design, f"Receptive field of trial {trial.number}", required)
        parts.append(el("div", figure(blocks, page_drawing(design, blocks)), chart(field), class_="charts"))
        lines: list[Sequence[Child]] = []
        for line in stage_lines(design):
            channels, tall, wide = line.shape
            shape = (number(channels), f"{tall}×{wide}", f"{line.receptive_field} px")
            lines.append([line.name, line.blocks, *shape, compact(line.parameters), compact(line.macs)])
        heads = ["stage", "blocks", "channels", "map", "receptive field", "parameters", "MACs"]
        parts.append(table(f"Stages of trial {trial.number}", heads, lines, numbers=[2, 3, 4, 5, 6]))
    parts += [_margins(trial), _files(study, trial)]
    return el("article", parts, id=f"design-{trial.number}")


def _margins(trial: TrialRead) -> Markup | None:
    lines: list[Sequence[Child]] = []
    for margin in trial.margins:
        slack, kept = finite(margin.get("slack")), margin.get("kept")
        sign = "✓ kept" if kept else "✗ broken" if kept is not None else "–"
        name, bound, found = (margin.get(key) for key in ("limit", "bound", "found"))
        texts = (label(str(name)), bound_text(bound), bound_text(found))
        lines.append([*texts, sign, f"{100 * slack:+.1f} %" if slack else "–"])
    heads = ["limit", "bound", "found", "kept", "distance to the bound"]
    return table(f"Limits of trial {trial.number}", heads, lines, numbers=[4]) if lines else None


def _files(study: StudyRead, trial: TrialRead) -> Markup:
    lines: list[Markup] = []
    if (place := trial.place) is not None:
        lines += [el("dt", "files"), el("dd", el("code", place))]
    if command := command_again(study, trial):
        lines += [el("dt", "command"), el("dd", el("pre", command, tabindex=0, class_="command"))]
    seconds = finite(trial.seconds)
    trained = ["–" if seconds is None else duration(seconds), *distinct([trial.attrs.get("device")])]
    finished = moment(trial.finished) if trial.finished else "–"
    lines += [el("dt", "trained"), el("dd", tied(f"{' on '.join(trained)}, finished {finished}"))]
    return el("dl", lines, class_="where")


def _code(text: object) -> Child:
    return el("code", cut(str(text), _LONGEST)) if text else "–"


def _shared(study: StudyRead, key: str) -> str:
    """Return the values of the trials' attribute `key`, each with its count if they differ."""
    found = [trial.attrs[key] for trial in study.trials if trial.attrs.get(key) is not None]
    values = distinct(found)
    if len(values) <= 1:
        return values[0] if values else ""
    if len(values) > 6:
        return f"{len(values)} different values"
    return ", ".join(f"{value} ({pluralize(sum(str(each) == value for each in found), 'trial')})" for value in values)


def _versions(study: StudyRead) -> dict[str, str]:
    found: dict[str, list[Any]] = {}
    for trial in study.trials:
        versions = trial.attrs.get("versions")
        for name, version in versions.items() if isinstance(versions, dict) else ():
            found.setdefault(str(name), []).append(version)
    return {name: ", ".join(distinct(versions)[:6]) for name, versions in list(found.items())[:20]}


def _fixed(study: StudyRead) -> dict[str, str]:
    trained = [trial for trial in study.trials if trial.assignments]
    if not trained:
        return {}
    differ = varied_settings(study)
    everywhere = set.intersection(*({str(name) for name in trial.assignments} for trial in trained))
    return {
        name: setting_text(value)
        for name, value in trained[0].assignments.items()
        if name in everywhere and name not in differ
    }
