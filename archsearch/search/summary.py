"""The summary of a search: its best trials, infeasible proposals, failures, and the command of the best trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archsearch.formatting import number, one_line, rung_text, setting_text, short_key, value_text
from archsearch.overrides import SEARCH_GROUPS, group_of, run_command, with_assignments
from archsearch.search.infeasible import UNBUILDABLE, InfeasibleCounts, count_infeasible
from archsearch.search.queue import StudySnapshot, take_snapshot
from archsearch.search.storage.read import Best, StudyRead, TrialRead, best_of, rung_of, trials_read
from archsearch.search.storage.study import Study
from archsearch.search.sweep import Sweep

ROWS = 10  # of the table of the best trials
STALE = 3600.0  # seconds after which a partly written file counts as left by a killed process
FAILED = 5  # failed trials that are listed with their causes
CAUSES = 3  # listed causes why designs cannot be built


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The state of a search; `best` are its complete trials, best first, the Pareto front before the others."""

    snapshot: StudySnapshot
    best: tuple[TrialRead, ...]
    front: frozenset[int]
    duplicates: int
    counts: InfeasibleCounts
    command: str | None


def summarize(study: Study, sweep: Sweep) -> Summary:
    """Return the summary of the search, read from the database."""
    snapshot = take_snapshot(study.trials(), sweep.name)
    own = tuple(trials_read(trial for trial in snapshot.trials if trial.user_attrs.get("sweep") == sweep.name))
    read = StudyRead(name=study.name, objectives=study.objectives, directions=study.directions, attrs={}, trials=own)
    order = read.ranked()
    return Summary(
        snapshot=snapshot,
        best=tuple(order),
        front=read.front(),
        duplicates=sum(trial.state == "duplicate" for trial in own),
        counts=count_infeasible(own),
        command=command_of(sweep, order[0]) if order else None,
    )


def best_so_far(study: Study, snapshot: StudySnapshot) -> Best | None:
    """Return the sweep's best trial; None if there is none, or several objectives."""
    complete = {trial.number: tuple(trial.values) for trial in snapshot.trained if trial.values}
    rungs = {trial.number: rung for trial in snapshot.trained if (rung := rung_of(trial.user_attrs)) is not None}
    return best_of(complete, study.directions, rungs) if len(study.directions) == 1 else None


def overrides_of(sweep: Sweep, trial: TrialRead) -> list[str]:
    """Return the overrides of the command line that trains the trial's design again."""
    base = (one for one in sweep.base if group_of(one) not in SEARCH_GROUPS)
    return with_assignments(base, trial.used_assignments)


def command_of(sweep: Sweep, trial: TrialRead) -> str:
    """Return the command that trains the trial's design again."""
    return run_command(overrides_of(sweep, trial), sweep.sources.flags())


def summary_text(study: Study, sweep: Sweep, summary: Summary) -> str:
    """Return the summary as text."""
    snapshot, names = summary.snapshot, study.objectives
    ends = Counter(trial.user_attrs.get("state_reason", "?") for trial in snapshot.trained)
    parts = [f"{number(count)} {end}" for end, count in ends.items()]
    parts += [f"{number(len(snapshot.failed))} failed"] if snapshot.failed else []
    parts += [f"{number(waiting)} waiting for the same command"] if (waiting := len(snapshot.waiting)) else []
    parts += [f"{number(summary.duplicates)} duplicates of other designs"] if summary.duplicates else []
    lines = [f"study {one_line(study.name)}: {', '.join(parts) or 'nothing trained'}"]
    if summary.counts.by_limit:
        counts = summary.counts
        lines.append(
            f"{number(counts.infeasible)} of {number(counts.proposed)} proposals infeasible: {counts.worst(None)}"
        )
    lines += [
        f"failed: trial {one.number}: {one.user_attrs.get('cause', 'unknown')}" for one in snapshot.failed[:FAILED]
    ]
    if len(snapshot.failed) > FAILED:
        lines.append(f"failed: {number(len(snapshot.failed) - FAILED)} more trials")
    lines += [f"cannot be built: {cause}" for cause in unbuildable(snapshot, sweep.name)]
    if warning := summary.counts.warning():
        lines.append(f"warning: {warning}")
    if summary.best:
        lines += ["", *_table(summary, names, list(sweep.space.parameters))]
        first = "a trial of the Pareto front" if len(names) > 1 else "the best"
        lines += [
            "",
            f"files of {first}: {summary.best[0].place}",
            f"{first} again: {summary.command}",
        ]
    return "\n".join(lines)


def unbuildable(snapshot: StudySnapshot, sweep: str) -> list[str]:
    """Return the most frequent causes why designs of the sweep cannot be built."""
    causes = Counter(
        str(trial.user_attrs.get("cause"))
        for trial in snapshot.trials
        if trial.user_attrs.get("sweep") == sweep and trial.constraints.get(UNBUILDABLE, 0.0) > 0
    )
    return [cause for cause, _ in causes.most_common(CAUSES)]


def write_best(study: Study, sweep: Sweep, summary: Summary) -> Path | None:
    """Write `best.yaml` into the sweep's folder and return its path; None if no trial is complete.

    `python -m archsearch.run PATH` reads the overrides in the file and trains the design again.
    """
    if not summary.best:
        return None
    import yaml

    from archsearch.training.storage import remove_parts, write_whole

    best = summary.best[0]
    content = {
        "study": study.name,
        "trial": best.number,
        "values": dict(zip(study.objectives, best.values or (), strict=True)),
        **sweep.sources.record(),
        "overrides": overrides_of(sweep, best),
        "run_dir": best.attrs.get("run_dir"),
    }
    path = sweep.folder / "best.yaml"
    text = f"# {one_line(summary.command)}\n" + yaml.safe_dump(content, sort_keys=False, width=120)
    write_whole(path, text.encode())
    remove_parts(sweep.folder, seconds=STALE)
    return path


def _table(summary: Summary, names: Sequence[str], parameters: Sequence[str]) -> list[str]:
    rungs = ["epochs"] if any(trial.rung is not None for trial in summary.best[:ROWS]) else []
    costs = (one for one in ("parameters", "receptive_field") if one not in names)
    head = ["trial", *rungs, *names, *costs, "differs by"]
    rows = [head]
    settings = _differing(summary.best[:ROWS], parameters)
    for trial in summary.best[:ROWS]:
        mark = "*" if len(names) > 1 and trial.number in summary.front else ""
        cells = [f"{trial.number}{mark}", *(rung_text(trial.rung) for _ in rungs)]
        cells += map(value_text, names, trial.values or ())
        cells += [value_text(one, trial.attrs.get(one, "")) for one in head[len(cells) : -1]]
        used = (one for one in settings if one not in trial.unused)
        cells.append(" ".join(f"{short_key(one)}={setting_text(trial.assignments.get(one))}" for one in used))
        rows.append(cells)
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    return [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]


def _differing(trials: Sequence[TrialRead], parameters: Sequence[str]) -> list[str]:
    """Return the parameters that the trials do not all use with the same value."""

    def values(name: str) -> set[str]:
        return {"" if name in one.unused else repr(one.assignments.get(name)) for one in trials}

    return [name for name in parameters if len(trials) < 2 or len(values(name)) > 1]
