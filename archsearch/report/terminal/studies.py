"""Studies as tables on a terminal: the list, the leaderboard, why, and the doctor's findings. Imports rich lazily."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archsearch.formatting import number, percent
from archsearch.report.designs import blocks_of, blocks_text
from archsearch.report.records import COLUMNS
from archsearch.report.series import value_of
from archsearch.report.terminal.text import (
    NOTHING,
    blank_table,
    moment_cell,
    relative_path,
    safe,
    settings_line,
    value_cell,
)
from archsearch.report.vocabulary import column_head, counted, infeasible_counts
from archsearch.search.doctor import Finding
from archsearch.search.explaining import Why
from archsearch.search.overview import Overview
from archsearch.search.reading import StudyRead, TrialRead

if TYPE_CHECKING:
    from rich.console import Console

MOST_ASSIGNMENTS = 4


def print_overviews(studies: Sequence[Overview], console: Console) -> None:
    """Print one line per study: its trials by state, its best, and when something last happened."""
    if not studies:
        console.print("The database holds no study yet.")
        return
    table = blank_table("study", "data", "limits", "trials", "best", "last activity")
    for study in studies:
        table.add_row(
            safe(study.name),
            safe(study.attrs.get("data", NOTHING)),
            safe(study.attrs.get("limits", NOTHING)),
            counted(study.counts),
            _best(study),
            moment_cell(study.last),
        )
    console.print(table)


def _best(study: Overview) -> str:
    best = study.best
    if best is None:
        return NOTHING
    name, *others = study.objectives
    if others:
        return safe(f"{best.front} on the front of {', '.join(study.objectives)}")
    return f"{safe(value_cell(name, best.values[0]))} by trial {best.number}"


def print_study(study: StudyRead, rows: Sequence[TrialRead], console: Console, *, total: int) -> None:
    """Print the leaderboard: the study's head and these `rows` of `total`."""
    console.print(f"[bold]{safe(study.name)}[/]  {counted(study.counts())}")
    console.print(safe(_head(study)), style="dim")
    if not rows:
        console.print("There are no trials to show.")
        return
    console.print()
    several = len(study.objectives) > 1
    front = study.front() if several else frozenset()
    columns = [name for name in COLUMNS if name not in study.objectives]
    states = {trial.state for trial in rows} != {"complete"}
    table = blank_table("trial", right=("trial",))
    if states:
        table.add_column("state")
    for name in (*study.objectives, *columns):
        table.add_column(safe(column_head(name)), justify="right", no_wrap=True)
    table.add_column("blocks", overflow="fold")
    table.add_column("files", overflow="fold")
    for trial in rows:
        cells = [f"{trial.number}{'*' if trial.number in front else ''}"]
        cells += [trial.state] if states else []
        cells += [safe(value_cell(name, value_of(study, trial, name))) for name in (*study.objectives, *columns)]
        blocks = blocks_of(trial)
        cells += [
            safe(blocks_text(blocks) if blocks else NOTHING),
            safe(relative_path(trial.attrs.get("run_dir") or NOTHING)),
        ]
        table.add_row(*cells)
    console.print(table)
    if several:
        console.print(f"* on the Pareto front ({len(front)} trials)", style="dim")
    if len(rows) < total:
        console.print(f"{len(rows)} of {number(total)} are shown: --limit {total} shows all", style="dim")


def _head(study: StudyRead) -> str:
    better = ", ".join(f"{name} ({way}d)" for name, way in zip(study.objectives, study.directions, strict=True))
    parts = [f"objective {better}"]
    parts += [f"data {study.attrs['data']}"] if "data" in study.attrs else []
    parts += [f"limits {study.attrs['limits']}"] if "limits" in study.attrs else []
    return ", ".join(parts)


def print_why(study: StudyRead, why: Why, importances: Mapping[str, float], console: Console) -> None:
    """Print how many designs each limit made infeasible, the nearest misses, the failures, and the importances."""
    counts = infeasible_counts(why)
    infeasible = counts.proposed - counts.feasible
    console.print(f"[bold]{safe(study.name)}[/]  {counted(study.counts())}")
    console.print(
        f"{number(counts.proposed)} designs were checked, {number(infeasible)} of them infeasible"
        f"{f' ({percent(infeasible / counts.proposed, 1)})' if counts.proposed else ''}"
    )
    if counts.by_limit:
        console.print()
        table = blank_table("limit", "infeasible", "", right=("infeasible",), title="Infeasible by limit")
        top = max(counts.by_limit.values())
        for name, count in counts.by_limit.most_common():
            table.add_row(safe(name), number(count), "#" * max(1, round(30 * count / top)))
        console.print(table)
    if warning := counts.warning():
        console.print(f"[bold]warning:[/] {safe(warning)}", soft_wrap=True)
    if why.nearest:
        console.print()
        table = blank_table("trial", "misses", "settings", right=("trial",), title="Nearest misses")
        for miss in why.nearest:
            misses = ", ".join(f"{name} by {100 * value:.2g} %" for name, value in sorted(miss.excess.items()))
            table.add_row(str(miss.trial.number), safe(misses), safe(_brief(miss.trial.assignments)))
        console.print(table)
    if why.failures:
        console.print()
        table = blank_table("count", "cause", "trials", right=("count",), title="Failures")
        for cause, numbers in why.failures.items():
            shown = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
            table.add_row(str(len(numbers)), safe(cause), shown)
        console.print(table)
    console.print()
    if not importances:
        console.print("The importance of settings is not known yet: it needs at least 10 complete trials that differ.")
        return
    table = blank_table("setting", "share", "", right=("share",), title="Importance (PED-ANOVA, complete trials)")
    for name, share in importances.items():
        table.add_row(safe(name), percent(share, 1), "#" * round(30 * share))
    console.print(table)


def _brief(assignments: Mapping[str, Any]) -> str:
    shown = dict(list(assignments.items())[:MOST_ASSIGNMENTS])
    return settings_line(shown) + (" ..." if len(assignments) > len(shown) else "")


def print_findings(findings: Iterable[Finding], fixed: Sequence[str] | None, console: Console) -> None:
    """Print the doctor's findings, and with `fixed` what was done about them."""
    listed = list(findings)
    for finding in listed:
        place = f"{safe(finding.study)}: " if finding.study is not None else ""
        console.print(f"[bold]{finding.kind.replace('_', ' ')}[/]  {place}{safe(finding.what)}", soft_wrap=True)
        fix = " [dim](with --fix)[/]" if finding.healable and fixed is None else ""
        console.print(f"  {safe(finding.fix)}{fix}", soft_wrap=True)
    if not listed:
        console.print("No problems were found.")
    for line in fixed or ():
        console.print(f"[bold]fixed[/]  {safe(line)}", soft_wrap=True)
    if listed and fixed == []:
        console.print("None of them can be fixed without a loss.")
