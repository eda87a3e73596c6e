"""Studies and trials on a terminal: lists, leaderboard, explanation, findings, trials in full. Imports rich lazily."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archsearch.analysis.check import margin_text
from archsearch.analysis.limits import Margin
from archsearch.formatting import epochs_text, number, one_line, percent, pluralize, rung_text, short_key
from archsearch.overrides import assign
from archsearch.report.designs import blocks_of, blocks_text, design_mapping
from archsearch.report.records import COLUMNS, KNOWN, read_run_folder
from archsearch.report.series import value_of
from archsearch.report.summary import compared_text
from archsearch.report.terminal.text import (
    NOTHING,
    moment_cell,
    relative_path,
    safe,
    safe_lines,
    setting_cell,
    settings_line,
    sparkline,
    table,
    value_cell,
)
from archsearch.report.vocabulary import counted, finite, misses_text, short_label
from archsearch.search.explain import Why
from archsearch.search.reproduce import command_again, unsafe_command
from archsearch.search.storage.doctor import Finding
from archsearch.search.storage.read import Overview, StudyRead, TrialRead, settings_apart

if TYPE_CHECKING:
    from rich.console import Console

MOST_ASSIGNMENTS = 4
MOST_LAYERS = 40
_FACTS = {
    "device": "device", "worker": "worker", "design_id": "design id", "sweep": "sweep", "duplicate_of": "duplicate of",
    "batch": "batch", "enqueued": "position in study.enqueue", "promoted_from": "promoted from trial",
}  # fmt: skip
"""The attributes of a trial that are printed, with their labels."""


def print_overviews(studies: Sequence[Overview], console: Console) -> None:
    """Print one line per study: its trials by state, its best trial, and the time of its last activity."""
    if not studies:
        console.print("The database contains no studies yet.")
        return
    apart = {name: " ".join(map(assign, found, found.values())) for name, found in settings_apart(studies).items()}
    differ = ("differs by",) if any(apart.values()) else ()
    rows = [
        (
            safe(study.name),
            *(safe(study.attrs.get(key, NOTHING)) for key in ("data", "limits")),
            *(safe(apart[study.name] or NOTHING) for _ in differ),
            counted(study.counts),
            _best(study),
            moment_cell(study.last),
        )
        for study in studies
    ]
    console.print(table(("study", "data", "limits", *differ, "trials", "best", "last activity"), rows))


def _best(study: Overview) -> str:
    best = study.best
    if best is None:
        return NOTHING
    name, *others = study.objectives
    if others:
        return safe(f"{best.front} on the Pareto front of {', '.join(study.objectives)}")
    return f"{safe(value_cell(name, best.values[0]))} by trial {best.number}{_after(best.rung)}"


def _after(rung: float | None) -> str:
    return "" if rung is None else f" after {epochs_text(rung)}"


def print_study(
    study: StudyRead, rows: Sequence[TrialRead], console: Console, *, total: int, by: str | None = None
) -> None:
    """Print the leaderboard: the study's header and `rows` of `total` trials, ranked `by` a value or by the study."""
    console.print(f"[bold]{safe(study.name)}[/]  {counted(study.counts())}")
    console.print(safe(_head(study)), style="dim")
    if not rows:
        console.print("No trials to show.")
        return
    console.print()
    several = len(study.objectives) > 1
    front = study.front() if several else frozenset()
    names = [*study.objectives, *(name for name in COLUMNS if name not in study.objectives)]
    values = ["RF" if name == "receptive_field" else safe(short_label(name)) for name in names]
    states = ["state"] if {trial.state for trial in rows} != {"complete"} else []
    rungs = ["epochs"] if study.has_rungs else []
    lines: list[Sequence[str]] = []
    for trial in rows:
        cells = [f"{trial.number}{'*' if trial.number in front else ''}", *[trial.state] * len(states)]
        cells += [rung_text(trial.rung) for _ in rungs]
        cells += [safe(value_cell(name, value_of(study, trial, name))) for name in names]
        blocks, folder = blocks_of(trial), trial.place or NOTHING
        lines.append([*cells, safe(blocks_text(blocks) if blocks else NOTHING), safe(relative_path(folder))])
    heads = ("trial", *states, *rungs, *values, "blocks", "files")
    console.print(table(heads, lines, right=("trial", *rungs, *values)))
    if rungs and by is None:
        console.print("Trials with fewer epochs are ranked below all trials with more epochs.", style="dim")
    if several:
        console.print(f"* on the Pareto front ({pluralize(len(front), 'trial')})", style="dim")
    if len(rows) < total:
        console.print(f"{number(len(rows))} of {number(total)} are shown: --limit {total} shows all", style="dim")


def _head(study: StudyRead) -> str:
    better = ", ".join(f"{name} ({way}d)" for name, way in zip(study.objectives, study.directions, strict=True))
    parts = [f"objective {better}"]
    parts += [f"data {study.attrs['data']}"] if "data" in study.attrs else []
    parts += [f"limits {study.attrs['limits']}"] if "limits" in study.attrs else []
    return ", ".join(parts)


def print_why(study: StudyRead, why: Why, importances: Mapping[str, float], console: Console) -> None:
    """Print how many designs each limit made infeasible, the nearest misses, the failures, and the importances."""
    counts = why.infeasible
    console.print(f"[bold]{safe(study.name)}[/]  {counted(study.counts())}")
    console.print(
        f"{pluralize(counts.proposed, 'design')} checked, {number(counts.infeasible)} of them infeasible"
        f"{f' ({percent(counts.infeasible / counts.proposed, 1)})' if counts.proposed else ''}"
    )
    if counts.by_limit:
        console.print()
        top = max(counts.by_limit.values())
        rows = [
            (safe(name), number(count), "#" * max(1, round(30 * count / top)))
            for name, count in counts.by_limit.most_common()
        ]
        console.print(table(("limit", "infeasible", ""), rows, right=("infeasible",), title="Infeasible by limit"))
    if warning := counts.warning():
        console.print(f"[bold]warning:[/] {safe(warning)}", soft_wrap=True)
    if why.nearest:
        console.print()
        rows = [
            (str(miss.trial.number), safe(misses_text(miss.excess)), safe(_brief(miss.trial.assignments)))
            for miss in why.nearest
        ]
        console.print(table(("trial", "misses", "settings"), rows, right=("trial",), title="Nearest misses"))
    if why.failures:
        console.print()
        rows = [
            (str(len(numbers)), safe(cause), ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else ""))
            for cause, numbers in why.failures.items()
        ]
        console.print(table(("count", "cause", "trials"), rows, right=("count",), title="Failures"))
    console.print()
    if not importances:
        console.print("The importance of settings is not known yet: it needs at least 10 complete trials that differ.")
        return
    rows = [(safe(name), percent(share, 1), "#" * round(30 * share)) for name, share in importances.items()]
    title = f"Importance (PED-ANOVA, {compared_text(study)})"
    console.print(table(("setting", "share", ""), rows, right=("share",), title=title))


def _brief(assignments: Mapping[str, Any]) -> str:
    shown = dict(list(assignments.items())[:MOST_ASSIGNMENTS])
    return settings_line(shown) + (" ..." if len(assignments) > len(shown) else "")


def print_findings(findings: Iterable[Finding], fixed: Sequence[str] | None, console: Console) -> None:
    """Print the doctor's findings and, unless `fixed` is None, what was fixed."""
    listed = list(findings)
    for finding in listed:
        place = f"{safe(finding.study)}: " if finding.study is not None else ""
        console.print(f"[bold]{finding.kind.replace('_', ' ')}[/]  {place}{safe(finding.what)}", soft_wrap=True)
        fix = " [dim](with --fix)[/]" if finding.fixable and fixed is None else ""
        console.print(f"  {safe(finding.fix)}{fix}", soft_wrap=True)
    if not listed:
        console.print("No problems were found.")
    for line in fixed or ():
        console.print(f"[bold]fixed[/]  {safe(line)}", soft_wrap=True)
    if listed and fixed == []:
        console.print("None of them can be fixed without loss of data.")


def print_best(study: StudyRead, trial: TrialRead, console: Console) -> None:
    """Print the best trial: its figures, design, limits, files, and the command that trains it again."""
    several = len(study.objectives) > 1
    what = f"one of {len(study.front())} on the Pareto front" if several else "the best"
    complete = len(study.comparable())
    short = study.counts().get("complete", 0) - complete
    others = f"; {number(short)} more were trained for fewer epochs" if short else ""
    console.print(
        f"[bold]{safe(study.name)}[/]  trial {trial.number}, {what} of {complete} complete{_after(trial.rung)}{others}"
    )
    _figures(study, trial, console)
    _stages(trial, console)
    _margins(trial, console)
    _places(study, trial, console)


def print_trial(study: StudyRead, trial: TrialRead, console: Console) -> None:
    """Print one trial in full."""
    console.print(f"[bold]{safe(study.name)}[/]  trial {trial.number}, {trial.state}{_after(trial.rung)}")
    if trial.cause:
        console.print(safe_lines(trial.cause), style="bold", soft_wrap=True)
    _figures(study, trial, console)
    console.print(f"started {moment_cell(trial.started)}, finished {moment_cell(trial.finished)}")
    for key, text in _FACTS.items():
        if trial.attrs.get(key) not in (None, ""):
            console.print(f"{text} {safe(trial.attrs[key])}", soft_wrap=True)
    for other in study.trials:
        if other.attrs.get("promoted_from") == trial.number:
            console.print(f"promoted to trial {other.number}", soft_wrap=True)
    _curve(trial, console)
    for title, pairs in (("settings", trial.assignments), ("changed by the search", trial.attrs.get("repairs"))):
        if isinstance(pairs, Mapping) and pairs:
            console.print(f"\n[bold]{title}[/]")
            for name, value in pairs.items():
                console.print(f"{safe(name)}={'null' if value is None else safe(value)}", soft_wrap=True)
    if isinstance(unused := trial.attrs.get("unused"), list) and unused:
        console.print(f"unused by this design: {safe(', '.join(map(str, unused)))}", soft_wrap=True)
    _stages(trial, console)
    _margins(trial, console)
    _places(study, trial, console)
    files = read_run_folder(trial)
    if files is not None and files.tail:
        console.print("\n[bold]last lines of the log[/]")
        for line in files.tail:
            console.print(safe(line), soft_wrap=True)
    if trace := trial.attrs.get("traceback"):
        console.print("\n[bold]traceback[/]")
        console.print(safe_lines(str(trace).rstrip()), soft_wrap=True)


def print_comparison(
    study: StudyRead, record: Mapping[str, Any], trials: Sequence[TrialRead], console: Console
) -> None:
    """Print two trials side by side, from what `comparison_record` returns."""
    heads = [f"trial {number}" for number in record["trials"]]
    console.print(f"[bold]{safe(study.name)}[/]  {heads[0]} and {heads[1]}")
    rows: list[Sequence[str]] = [("state", *record["states"], "")]
    for name, pair in record["figures"].items():
        rows.append((safe(short_label(name)), *(safe(value_cell(name, one)) for one in pair), _difference(name, pair)))
    console.print(table(("", *heads, "difference"), rows, right=(*heads, "difference")))
    curves = [sparkline(list(trial.history.values()), console.encoding) for trial in trials]
    for head, curve in zip(heads, curves, strict=True):
        if curve:
            console.print(f"{head:<{max(map(len, heads))}}  {curve}", soft_wrap=True)
    for title, kind in (("assignments", "setting"), ("blocks", "stage")):
        if record[title]:
            console.print()
            rows = [
                (safe(short_key(name)), *(NOTHING if one is None else safe(setting_cell(one)) for one in pair))
                for name, pair in record[title].items()
            ]
            console.print(table((kind, *heads), rows))
    _layers(record["layers"], heads, console)
    for head, folder in zip(heads, record["run_dirs"], strict=True):
        console.print(f"{head}: {safe(relative_path(folder or 'no files'))}", soft_wrap=True)


def _layers(layers: Mapping[str, Any] | None, heads: Sequence[str], console: Console) -> None:
    if layers is None:
        console.print("\nThe layers cannot be compared: a design cannot be read.")
        return
    if not layers:
        console.print("\nThe layers are the same.")
        return
    console.print()
    rows = [(safe(name), *map(_layer, pair)) for name, pair in list(layers.items())[:MOST_LAYERS]]
    console.print(table((f"layers that differ ({len(layers)})", *heads), rows))
    if len(layers) > MOST_LAYERS:
        console.print(f"{MOST_LAYERS} of {number(len(layers))} are shown: --json shows all", style="dim")


def _layer(layer: Mapping[str, Any] | None) -> str:
    if layer is None:
        return NOTHING
    shape = "x".join(map(str, layer["output_shape"]))
    parameters = f", {value_cell('parameters', layer['parameters'])}" if layer["parameters"] else ""
    return safe(f"{layer['kind']} {shape}, RF {layer['receptive_field']}{parameters}")


def _difference(name: str, pair: Sequence[float | None]) -> str:
    one, other = pair
    if one is None or other is None:
        return ""
    change = other - one
    if name.endswith("accuracy") and max(abs(one), abs(other)) <= 1:
        return f"{100 * change:+.2f} points"
    return f"{100 * change / one:+.1f} %" if one else f"{change:+.6g}"


def _figures(study: StudyRead, trial: TrialRead, console: Console) -> None:
    names = [*study.objectives, *(name for name in (*COLUMNS, "test_accuracy") if name not in study.objectives)]
    values = {name: value for name in names if (value := value_of(study, trial, name)) is not None}
    texts = [f"{short_label(name)} {value_cell(name, value)}" for name, value in values.items()]
    console.print(safe(", ".join(texts)) or "no data", soft_wrap=True)


def _curve(trial: TrialRead, console: Console) -> None:
    if not trial.history:
        return
    steps = sorted(trial.history)
    values = [trial.history[step] for step in steps]
    best = max(steps, key=lambda step: trial.history[step] if trial.history[step] == trial.history[step] else -1e300)
    console.print(f"\n[bold]curve[/]  {sparkline(values, console.encoding)}", soft_wrap=True)
    texts = [
        f"epoch {step}: {value_cell('accuracy', trial.history[step])}" for step in dict.fromkeys((steps[0], steps[-1]))
    ]
    if len(steps) > 1:
        texts.append(f"highest at {best}: {value_cell('accuracy', trial.history[best])}")
    console.print(", ".join(texts), soft_wrap=True)


def _stages(trial: TrialRead, console: Console) -> None:
    design = design_mapping(trial)
    stages = design.get("stages") if design is not None else None
    if design is None or not isinstance(stages, Mapping):
        return
    blocks = blocks_of(trial)
    console.print(f"\n[bold]design[/]  {safe(design.get('name', ''))}: {safe(blocks_text(blocks))}", soft_wrap=True)
    rows: list[Sequence[str]] = []
    for name, stage in stages.items():
        if not isinstance(stage, Mapping):
            continue
        known = ("block", "width", "repeats", "entry")
        options = ", ".join(f"{key} {value}" for key, value in stage.items() if key not in known)
        if isinstance(entry := stage.get("entry"), Mapping):
            block = entry.get("block")
            entry_name = block.get("name") if isinstance(block, Mapping) else block
            options += f"{', ' if options else ''}entry {entry_name or 'block'}"
        row = (name, blocks.get(str(name), NOTHING), stage.get("width", NOTHING), stage.get("repeats", 1), options)
        rows.append([safe(one) for one in row])
    console.print(table(("stage", "block", "width", "repeats", "options"), rows, right=("width", "repeats")))
    if design.get("width") not in (None, 1, 1.0):
        console.print(f"width multiplier {safe(design['width'])}")


def _margins(trial: TrialRead, console: Console) -> None:
    if not trial.margins:
        return
    console.print("\n[bold]limits[/]")
    column = max(len(one_line(margin["limit"])) for margin in trial.margins)
    for margin in trial.margins:
        sign, style = ("kept  ", "green") if margin.get("kept") else ("BROKEN", "bold red")
        name = one_line(margin["limit"])
        console.print(f"[{style}]{sign}[/] {safe(f'{name:<{column}}')}  {safe(_margin_text(margin))}", soft_wrap=True)
        fixes = margin.get("fixes")
        for fix in fixes if isinstance(fixes, list) else ():
            console.print(f"       {'':<{column}}  fix: {safe(fix)}", soft_wrap=True)


def _margin_text(margin: Mapping[str, Any]) -> str:
    """Return the text of a margin; only found and bound if another version has recorded it."""
    try:
        known = {name: margin[name] for name in ("limit", "bound", "found", "kept", "slack")}
        return margin_text(Margin(**known, error=finite(margin.get("error"))))
    except (KeyError, TypeError, AttributeError):
        return f"{margin.get('found')}, bound {margin.get('bound')}"


def _places(study: StudyRead, trial: TrialRead, console: Console) -> None:
    files = read_run_folder(trial)
    console.print()
    if files is None:
        console.print("files  the trial has no folder")
    elif not files.found:
        gone = "not on this machine" if "location" in trial.attrs else "which does not exist"
        console.print(f"files  {safe(relative_path(files.path))}, {gone}", soft_wrap=True)
    else:
        known = [name for name in KNOWN if name in files.files]
        console.print(f"files  {safe(relative_path(files.path))}: {safe(', '.join(known) or 'none')}", soft_wrap=True)
    unsafe = unsafe_command(study, trial)
    command = command_again(study, trial) or (f"not shown: {unsafe}" if unsafe else "not recorded")
    console.print(f"command  {safe(command)}", soft_wrap=True)
