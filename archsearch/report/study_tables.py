"""Studies as tables on a terminal: the list, the leaderboard, why, and what the doctor found. Imports rich lazily."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archsearch.formatting import number
from archsearch.report.design_blocks import blocks_of, say_blocks
from archsearch.report.study_records import COLUMNS, worth
from archsearch.report.terminal_words import NOTHING, assigned, counted, measure, moment, near, safe
from archsearch.search.explain import Why
from archsearch.search.storage.doctor import Finding
from archsearch.search.storage.read import Overview, StudyRead, TrialRead

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_HEADS = {"macs": "MACs", "receptive_field": "RF", "seconds": "time"}
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
            _say_best(study),
            moment(study.last),
        )
    console.print(table)


def _say_best(study: Overview) -> str:
    best = study.best
    if best is None:
        return NOTHING
    name, *others = study.objectives
    if others:
        return safe(f"{best.front} on the front of {', '.join(study.objectives)}")
    return f"{safe(measure(name, best.values[0]))} by trial {best.number}"


def print_study(study: StudyRead, rows: Sequence[TrialRead], console: Console, *, total: int) -> None:
    """Print the leaderboard: the study's head and these `rows` of `total`."""
    console.print(f"[bold]{safe(study.name)}[/]  {counted(study.counts())}")
    console.print(safe(_head(study)), style="dim")
    if not rows:
        console.print("No trial is to be shown.")
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
        table.add_column(safe(_HEADS.get(name, name)), justify="right", no_wrap=True)
    table.add_column("blocks", overflow="fold")
    table.add_column("files", overflow="fold")
    for trial in rows:
        cells = [f"{trial.number}{'*' if trial.number in front else ''}"]
        cells += [trial.state] if states else []
        cells += [safe(measure(name, worth(study, trial, name))) for name in (*study.objectives, *columns)]
        blocks = blocks_of(trial)
        cells += [safe(say_blocks(blocks) if blocks else NOTHING), safe(near(trial.attrs.get("run_dir") or NOTHING))]
        table.add_row(*cells)
    console.print(table)
    if several:
        console.print(f"* of the Pareto front ({len(front)} trials)", style="dim")
    if len(rows) < total:
        console.print(f"{len(rows)} of {number(total)} are shown: --limit {total} shows all", style="dim")


def _head(study: StudyRead) -> str:
    better = ", ".join(f"{name} ({way}d)" for name, way in zip(study.objectives, study.directions, strict=True))
    said = [f"objective {better}"]
    said += [f"data {study.attrs['data']}"] if "data" in study.attrs else []
    said += [f"limits {study.attrs['limits']}"] if "limits" in study.attrs else []
    return ", ".join(said)


def print_why(study: StudyRead, why: Why, importances: Mapping[str, float], console: Console) -> None:
    """Print which limits refused how many, the nearest misses, the causes of failures, and what matters."""
    refusals = why.infeasible
    refused = refusals.proposed - refusals.feasible
    console.print(f"[bold]{safe(study.name)}[/]  {counted(study.counts())}")
    console.print(
        f"{number(refusals.proposed)} designs were looked at, {number(refused)} of them refused"
        f"{f' ({100 * refused / refusals.proposed:.1f} %)' if refusals.proposed else ''}"
    )
    if refusals.by_limit:
        console.print()
        table = blank_table("limit", "refused", "", right=("refused",), title="What refused them")
        top = max(refusals.by_limit.values())
        for name, count in refusals.by_limit.most_common():
            table.add_row(safe(name), number(count), "#" * max(1, round(30 * count / top)))
        console.print(table)
    if warning := refusals.warning():
        console.print(f"[bold]warning:[/] {safe(warning)}", soft_wrap=True)
    if why.nearest:
        console.print()
        table = blank_table("trial", "misses", "set", right=("trial",), title="Nearest misses")
        for miss in why.nearest:
            said = ", ".join(f"{name} by {100 * value:.2g} %" for name, value in sorted(miss.excess.items()))
            table.add_row(str(miss.trial.number), safe(said), safe(_brief(miss.trial.assignments)))
        console.print(table)
    if why.failures:
        console.print()
        table = blank_table("how many", "cause", "trials", right=("how many",), title="What failed")
        for cause, numbers in why.failures.items():
            shown = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
            table.add_row(str(len(numbers)), safe(cause), shown)
        console.print(table)
    console.print()
    if not importances:
        console.print("What matters cannot be told yet: at least 10 complete trials that differ are needed.")
        return
    table = blank_table("key", "share", "", right=("share",), title="What matters (PED-ANOVA, complete trials)")
    for name, share in importances.items():
        table.add_row(safe(name), f"{100 * share:.1f} %", "#" * round(30 * share))
    console.print(table)


def _brief(assignments: Mapping[str, Any]) -> str:
    shown = dict(list(assignments.items())[:MOST_ASSIGNMENTS])
    return assigned(shown) + (" ..." if len(assignments) > len(shown) else "")


def print_findings(findings: Iterable[Finding], healed: Sequence[str] | None, console: Console) -> None:
    """Print what the doctor found, and with `healed` what was done about it."""
    listed = list(findings)
    for finding in listed:
        place = f"{safe(finding.study)}: " if finding.study is not None else ""
        console.print(f"[bold]{finding.kind.replace('_', ' ')}[/]  {place}{safe(finding.what)}", soft_wrap=True)
        fix = " [dim](--fix does it)[/]" if finding.fixable and healed is None else ""
        console.print(f"  {safe(finding.fix)}{fix}", soft_wrap=True)
    if not listed:
        console.print("Nothing is wrong.")
    for line in healed or ():
        console.print(f"[bold]fixed[/]  {safe(line)}", soft_wrap=True)
    if listed and healed == []:
        console.print("Nothing of it can be fixed here without losing something.")


def blank_table(*columns: str, right: Sequence[str] = (), title: str | None = None) -> Table:
    """Return a table of the house: no lines, titles to the left."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=name in right, overflow="fold")
    return table
