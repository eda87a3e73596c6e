"""The summary of a search: its best trials, infeasible proposals and failures, and the command for the best."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.search.infeasible import UNBUILDABLE, InfeasibleCounts
from archsearch.search.queue import StudySnapshot, take_snapshot
from archsearch.search.storage.read import excess_of
from archsearch.search.storage.study import Study
from archsearch.search.sweep import Sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

ROWS = 10  # of the table of the best
FAILED = 5  # trials whose cause is shown
CAUSES = 3  # of designs that cannot be built
_PLAIN = re.compile(r"[A-Za-z_/][\w./@:+-]*", re.ASCII)  # text that Hydra's grammar reads as such without quotes
_NO_TEXT = frozenset({"true", "false", "null", "inf", "nan"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The state of a search; `best` are the complete trials, best first, the Pareto front before the others."""

    snapshot: StudySnapshot
    best: tuple[FrozenTrial, ...]
    front: frozenset[int]
    duplicates: int
    counts: InfeasibleCounts
    command: str | None


def summarize(study: Study, sweep: Sweep) -> Summary:
    """Return the summary of the search as the database has it."""
    snapshot = take_snapshot(study.trials(), sweep.name)
    own = [trial for trial in snapshot.trials if trial.user_attrs.get("sweep") == sweep.name]
    complete = [trial for trial in own if trial.state.name == "COMPLETE" and trial.values is not None]
    front = _front(complete, study.directions)
    order = sorted(complete, key=lambda trial: (trial.number not in front, _rank(trial, study.directions)))
    counts = sum_infeasible(own)
    duplicates = sum("duplicate_of" in trial.user_attrs for trial in own)
    return Summary(
        snapshot=snapshot,
        best=tuple(order),
        front=frozenset(front),
        duplicates=duplicates,
        counts=counts,
        command=command_of(sweep, order[0]) if order else None,
    )


def sum_infeasible(trials: Sequence[FrozenTrial]) -> InfeasibleCounts:
    """Return the counts of proposals that these trials carry, or else count the recorded ones."""
    total = InfeasibleCounts()
    counted = any("screened" in trial.user_attrs for trial in trials)
    for trial in trials:
        if "screened" in trial.user_attrs:
            total = total.add(InfeasibleCounts.from_json(trial.user_attrs["screened"]))
        elif not counted:
            total.count(name for name, value in excess_of(trial.system_attrs).items() if value > 0)
    return total


def overrides_of(sweep: Sweep, trial: FrozenTrial) -> list[str]:
    """Return the command line's overrides that make the trial's design again."""
    attrs = trial.user_attrs
    used = {name: value for name, value in attrs.get("assignments", {}).items() if name not in attrs.get("unused", ())}
    assignments = {**used, **attrs.get("repairs", {})}
    ours = set(assignments)
    base = [one for one in sweep.base if one.lstrip("+~").partition("=")[0] not in ours and not _of_search(one)]
    return [*base, *(f"{name}={literal(value)}" for name, value in assignments.items())]


def command_of(sweep: Sweep, trial: FrozenTrial) -> str:
    """Return the command that runs the trial's design again."""
    return " ".join(["python -m archsearch.run", *(shlex.quote(one) for one in overrides_of(sweep, trial))])


def literal(value: Any) -> str:
    """Return a value as an override says it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and (not _PLAIN.fullmatch(value) or value.lower() in _NO_TEXT):
        # In quotes a backslash counts only before a quote.
        return "'{}'".format(re.sub(r"(\\*)('|$)", r"\1\1\2", value).replace("'", "\\'"))
    return "null" if value is None else repr(value) if isinstance(value, float) else str(value)


def summary_text(study: Study, sweep: Sweep, summary: Summary) -> str:
    """Return the summary as text."""
    snapshot, names = summary.snapshot, study.objectives
    ends = Counter(trial.user_attrs.get("state_reason", "?") for trial in snapshot.trained)
    parts = [f"{count} {end}" for end, count in ends.items()]
    parts += [f"{len(snapshot.failed)} failed"] if snapshot.failed else []
    parts += [f"{summary.duplicates} duplicates of other designs"] if summary.duplicates else []
    lines = [f"study {study.name}: {', '.join(parts) or 'nothing trained'}"]
    if summary.counts.by_limit:
        counts = summary.counts
        lines.append(f"{counts.infeasible} of {counts.proposed} proposals infeasible: {counts.worst(None)}")
    lines += [
        f"failed: trial {one.number}: {one.user_attrs.get('cause', 'unknown')}" for one in snapshot.failed[:FAILED]
    ]
    if len(snapshot.failed) > FAILED:
        lines.append(f"failed: {len(snapshot.failed) - FAILED} more")
    lines += [f"cannot be built: {cause}" for cause in unbuildable(snapshot, sweep.name)]
    if warning := summary.counts.warning():
        lines.append(f"warning: {warning}")
    if summary.best:
        lines += ["", *_table(summary, names, list(sweep.space.parameters))]
        first = "a trial of the Pareto front" if len(names) > 1 else "the best"
        lines += [
            "",
            f"files of {first}: {summary.best[0].user_attrs.get('run_dir')}",
            f"{first} again: {summary.command}",
        ]
    return "\n".join(lines)


def unbuildable(snapshot: StudySnapshot, sweep: str) -> list[str]:
    """Return why designs of the sweep cannot be built, the most frequent causes first."""
    causes = Counter(
        str(trial.user_attrs.get("cause"))
        for trial in snapshot.trials
        if trial.user_attrs.get("sweep") == sweep and trial.constraints.get(UNBUILDABLE, 0.0) > 0
    )
    return [cause for cause, _ in causes.most_common(CAUSES)]


def write_best(study: Study, sweep: Sweep, summary: Summary) -> Path | None:
    """Write `best.yaml` into the sweep's folder and return its path; None where nothing is complete.

    `python -m archsearch.run PATH` runs the design again: its overrides are read from the file.
    """
    if not summary.best:
        return None
    import yaml

    from archsearch.training.storage import write_whole

    best = summary.best[0]
    content = {
        "study": study.name,
        "trial": best.number,
        "values": dict(zip(study.objectives, best.values or (), strict=True)),
        "overrides": overrides_of(sweep, best),
        "run_dir": best.user_attrs.get("run_dir"),
    }
    path = sweep.folder / "best.yaml"
    text = f"# {summary.command}\n" + yaml.safe_dump(content, sort_keys=False, width=120)
    write_whole(path, text.encode())
    return path


def _table(summary: Summary, names: Sequence[str], parameters: Sequence[str]) -> list[str]:
    head = ["trial", *names, *(one for one in ("parameters", "receptive_field") if one not in names), "differs by"]
    rows = [head]
    for trial in summary.best[:ROWS]:
        attrs: Mapping[str, Any] = trial.user_attrs
        mark = "*" if len(names) > 1 and trial.number in summary.front else ""
        cells = [f"{trial.number}{mark}", *(f"{value:.6g}" for value in trial.values or ())]
        cells += [str(attrs.get(one, "")) for one in head[len(cells) : -1]]
        assignments, unused = attrs.get("assignments", {}), attrs.get("unused", ())
        cells.append(
            " ".join(f"{_short(one)}={_brief(assignments.get(one))}" for one in parameters if one not in unused)
        )
        rows.append(cells)
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    return [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]


def _short(name: str) -> str:
    return name.removeprefix("arch.stages.").removeprefix("arch.")


def _brief(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else literal(value)


def _rank(trial: FrozenTrial, directions: Sequence[str]) -> tuple[float, ...]:
    return tuple(-value if way == "maximize" else value for value, way in zip(trial.values, directions, strict=True))


def _front(trials: Sequence[FrozenTrial], directions: Sequence[str]) -> set[int]:
    """Return the numbers of the trials that no other one beats in every objective."""
    ranks = {trial.number: _rank(trial, directions) for trial in trials}
    return {
        number
        for number, one in ranks.items()
        if not any(other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in ranks.values())
    }


def _of_search(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return key in ("space", "sampler", "pruner", "study") or key.startswith(("study.", "hydra.", "hydra/", "space."))
