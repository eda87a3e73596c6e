"""The sections of a study's page that list: the best designs drawn, the conditions, every trial with its command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archsearch.formatting import number
from archsearch.report.design_chart import (
    Drawable,
    blocks_drawing,
    blocks_legend,
    field_drawing,
    patterns,
    read_design,
    stage_lines,
)
from archsearch.report.markup import Child, Markup, el
from archsearch.report.page_parts import bound_words, scrolling, section, settings_words, table
from archsearch.report.picture import compact
from archsearch.report.study_charts import figure
from archsearch.report.study_series import brief_setting, finite, front, measured, sound, thinned, varied
from archsearch.report.study_words import cell, distinct, duration, moment, named, phrase, said
from archsearch.search.reproduce import command_again
from archsearch.search.storage.read import StudyRead, TrialRead

BEST = 3
FRONT = 5
MOST_ROWS = 400
MOST_COMMANDS = 100
_LONGEST = 600  # letters of a text that a table shows whole


def designs_section(study: StudyRead) -> Markup:
    """Return the best designs, or of several objectives a spread over the Pareto front, each drawn."""
    ranked = sound(study)
    if not ranked:
        return section("designs", "Best designs", el("p", "No design has been trained to the end.", class_="nothing"))
    if len(study.objectives) == 1:
        chosen, title = ranked[:BEST], "Best designs"
    else:
        best = front(study)
        there = [trial for trial in ranked if trial.number in best]
        chosen, title = (
            thinned(there, FRONT, lambda trial: trial in (there[0], there[-1])),
            "Designs of the Pareto front",
        )
    drawn = {trial.number: read_design(trial) for trial in chosen}
    known = [design for design in drawn.values() if design is not None]
    legend = el("ul", *blocks_legend(known), class_="legend") if known else None
    note = (
        "Blocks are to scale: as high as the map that leaves them, as wide as its channels. "
        "A ring marks a dilated convolution."
    )
    return section(
        "designs",
        title,
        patterns() if known else None,
        el("p", note) if known else None,
        legend,
        [_design(study, trial, drawn[trial.number]) for trial in chosen],
    )


def conditions_section(study: StudyRead, program: Mapping[str, str]) -> Markup:
    """Return the limits, the settings that all trials share, the versions and the hardware."""
    attrs = study.attrs
    limits = attrs.get("limits_text")
    lines = (
        [[str(name).replace("_", " "), bound_words(bound)] for name, bound in limits.items()]
        if isinstance(limits, dict)
        else []
    )
    asked = (
        scrolling(table(["limit", "asked"], lines), "Limits")
        if lines
        else el("p", "No limits are recorded with the study.", class_="nothing")
    )
    facts: list[tuple[str, str]] = [
        (words, str(attrs[key]))
        for key, words in (("data", "data"), ("data_fingerprint", "data fingerprint"), ("limits", "limits"))
        if attrs.get(key) is not None
    ]
    ways = [
        f"{named(name, lower=True)} ({'more' if way == 'maximize' else 'less'} is better)"
        for name, way in zip(study.objectives, study.directions, strict=False)
    ]
    facts.append(("objectives", ", ".join(ways)))
    for key, words in (
        ("device", "device"),
        ("precision", "precision"),
        ("epochs", "epochs"),
        ("seed", "seed"),
        ("batch", "batch"),
    ):
        if there := _shared(study, key):
            facts.append((words, there))
    facts += [(f"version of {name}", text) for name, text in _versions(study).items()]
    facts += [(f"{name}, which wrote this page", text) for name, text in program.items()]
    fixed = _fixed(study)
    settings = [[el("code", name), el("code", value)] for name, value in fixed.items()]
    return section(
        "conditions",
        "Limits, settings and versions",
        el(
            "div",
            el("div", el("h3", "Limits"), asked),
            el(
                "div",
                el("h3", "Conditions"),
                scrolling(table(["what", "which"], [[a, b] for a, b in facts]), "Conditions"),
            ),
            class_="charts",
        ),
        [
            el("h3", "Settings that all trials share"),
            scrolling(table(["setting", "value"], settings), "Settings that all trials share"),
        ]
        if settings
        else None,
    )


def trials_section(study: StudyRead) -> Markup:
    """Return every trial, the best first, with its files and the command that runs it again."""
    if not study.trials:
        return section("trials", "All trials", el("p", "There is no trial yet.", class_="nothing"))
    ranked = study.ranked()
    numbers = {trial.number for trial in ranked}
    ordered = [*ranked, *(trial for trial in study.trials if trial.number not in numbers)]
    shown = ordered[:MOST_ROWS]
    tried = list(varied(study))
    names = [
        *study.objectives,
        *(name for name in ("parameters", "macs", "receptive_field") if name not in study.objectives),
    ]
    names = [
        name
        for name in names
        if name in study.objectives or any(measured(study, trial, name) is not None for trial in shown)
    ]
    timed = any(trial.seconds is not None for trial in shown)
    head: list[Child] = ["trial", "state", *(named(name) for name in names)]
    numeric = list(range(2, 2 + len(names) + timed))
    head += ["time"] * timed + ["settings that differ", "files", "again"]
    lines: list[list[Child]] = []
    for place, trial in enumerate(shown):
        line: list[Child] = [
            str(trial.number),
            trial.state,
            *(cell(name, measured(study, trial, name)) for name in names),
        ]
        line += [duration(finite(trial.seconds))] * timed
        again = command_again(study, trial) if place < MOST_COMMANDS and trial.state == "complete" else None
        line += [_code(" ".join(settings_words(trial, tried))), _code(trial.attrs.get("run_dir")), _code(again)]
        lines.append(line)
    ids = [f"trial-{trial.number}" for trial in shown]
    notes = []
    if len(shown) < len(ordered):
        notes.append(f"The table is cut: {number(len(shown))} of {number(len(ordered))} trials, the best first.")
    if sum(trial.state == "complete" for trial in shown) > MOST_COMMANDS:
        notes.append(f"Commands are given for the best {MOST_COMMANDS}.")
    whole = scrolling(table(head, lines, numbers=numeric, ids=ids), "All trials")
    return section("trials", "All trials", el("p", " ".join(notes), class_="note") if notes else None, whole)


def _design(study: StudyRead, trial: TrialRead, design: Drawable | None) -> Markup:
    values = ", ".join(phrase(name, measured(study, trial, name)) for name in study.objectives)
    costs = [
        said(name, found)
        for name in ("parameters", "macs")
        if name not in study.objectives and (found := measured(study, trial, name)) is not None
    ]
    field = measured(study, trial, "receptive_field")
    more = [*costs, *([f"receptive field {field:g} px"] if field is not None else [])]
    title = f"Trial {trial.number}"
    parts: list[Child] = [el("h3", f"{title}: {values}"), el("p", ", ".join(more), class_="note") if more else None]
    if design is None:
        parts.append(el("p", "Its design is not recorded, so it cannot be drawn.", class_="nothing"))
    else:
        pictures = [
            figure(
                f"Blocks of trial {trial.number}", blocks_drawing(design, f"Blocks of trial {trial.number}"), [], []
            ),
            figure(f"Receptive field of trial {trial.number}", field_drawing(design, _asked(study)), [], []),
        ]
        lines = [
            [
                line.name,
                line.blocks,
                number(line.shape[0]),
                f"{line.shape[1]}×{line.shape[2]}",
                f"{line.receptive_field} px",
                compact(line.cost.parameters),
                compact(line.cost.macs),
            ]
            for line in stage_lines(design)
        ]
        head = ["stage", "blocks", "channels", "map", "receptive field", "parameters", "MACs"]
        parts.append(el("div", pictures, class_="charts"))
        parts.append(scrolling(table(head, lines, numbers=[2, 3, 4, 5, 6]), f"Stages of trial {trial.number}"))
    parts += [_margins(trial), _where(study, trial)]
    return el("article", parts, id=f"design-{trial.number}")


def _margins(trial: TrialRead) -> Markup | None:
    lines: list[list[Child]] = []
    for margin in trial.margins:
        slack = finite(margin.get("slack"))
        kept = margin.get("kept")
        sign = "✓ kept" if kept else "✗ broken" if kept is not None else "–"
        room = f"{100 * slack:+.1f} %" if slack is not None and slack else "–"
        found = margin.get("found")
        lines.append(
            [
                str(margin["limit"]).replace("_", " "),
                bound_words(margin.get("bound")),
                number(found) if finite(found) is not None else bound_words(found),
                sign,
                room,
            ]
        )
    if not lines:
        return None
    head = ["limit", "asked", "found", "kept", "room to the bound"]
    return scrolling(table(head, lines, numbers=[4]), f"Limits of trial {trial.number}")


def _where(study: StudyRead, trial: TrialRead) -> Markup:
    again = command_again(study, trial)
    lines: list[Markup] = []
    if (place := trial.attrs.get("run_dir")) is not None:
        lines += [el("dt", "files"), el("dd", el("code", str(place)))]
    if again:
        lines += [el("dt", "again"), el("dd", el("pre", again, tabindex=0, class_="command"))]
    trained = [duration(finite(trial.seconds)), *distinct([trial.attrs.get("device")])]
    lines += [el("dt", "trained"), el("dd", f"{' on '.join(trained)}, finished {moment(trial.finished)}")]
    return el("dl", lines, class_="where")


def _asked(study: StudyRead) -> float | None:
    limits = study.attrs.get("limits_text")
    bound = limits.get("receptive_field") if isinstance(limits, dict) else None
    if not isinstance(bound, dict):
        return None
    return next((found for key in ("above", "at_least") if (found := finite(bound.get(key))) is not None), None)


def _code(text: object) -> Child:
    if not text:
        return "–"
    said = str(text)
    return el("code", said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…")


def _shared(study: StudyRead, key: str) -> str:
    """Return what trials say under `key`, each with its count where they differ."""
    said = [trial.attrs[key] for trial in study.trials if trial.attrs.get(key) is not None]
    values = distinct(said)
    if len(values) <= 1:
        return values[0] if values else ""
    if len(values) > 6:
        return f"{len(values)} different ones"
    return ", ".join(f"{value} ({sum(str(each) == value for each in said)} trials)" for value in values)


def _versions(study: StudyRead) -> dict[str, str]:
    found: dict[str, list[Any]] = {}
    for trial in study.trials:
        said = trial.attrs.get("versions")
        for name, version in said.items() if isinstance(said, dict) else ():
            found.setdefault(str(name), []).append(version)
    return {name: ", ".join(distinct(versions)[:6]) for name, versions in list(found.items())[:20]}


def _fixed(study: StudyRead) -> dict[str, str]:
    trained = [trial for trial in study.trials if trial.assignments]
    if not trained:
        return {}
    differ = varied(study)
    everywhere = set.intersection(*({str(name) for name in trial.assignments} for trial in trained))
    return {
        name: brief_setting(value)
        for name, value in trained[0].assignments.items()
        if name in everywhere and name not in differ
    }
