"""What a search came to: the best, what was refused and why, where the files are, the command for the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.overrides import SEARCH_GROUPS, group_of, literal, run_command, with_assignments
from archsearch.search.board import Board, read_board
from archsearch.search.reading import excess_of
from archsearch.search.refusals import UNBUILDABLE, Refusals
from archsearch.search.studies import Study
from archsearch.search.sweep import Sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

ROWS = 10  # of the table of the best
FAILED = 5  # trials whose cause is told
CAUSES = 3  # of designs that cannot be built


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a search stands; `best` are the complete trials, best first, the Pareto front before the others."""

    board: Board
    best: tuple[FrozenTrial, ...]
    front: frozenset[int]
    answered: int
    refusals: Refusals
    command: str | None


def summarise(study: Study, sweep: Sweep) -> Summary:
    """Return how the search stands in the database."""
    board = read_board(study.trials(), sweep.name)
    mine = [trial for trial in board.trials if trial.user_attrs.get("sweep") == sweep.name]
    complete = [trial for trial in mine if trial.state.name == "COMPLETE" and trial.values is not None]
    front = _front(complete, study.directions)
    order = sorted(complete, key=lambda trial: (trial.number not in front, _rank(trial, study.directions)))
    refusals = sum_refusals(mine)
    answered = sum("answered_by" in trial.user_attrs for trial in mine)
    return Summary(
        board=board,
        best=tuple(order),
        front=frozenset(front),
        answered=answered,
        refusals=refusals,
        command=command_of(sweep, order[0]) if order else None,
    )


def sum_refusals(trials: Sequence[FrozenTrial]) -> Refusals:
    """Return what was looked at for these trials: as it was counted, or else the recorded ones one by one."""
    total = Refusals()
    counted = any("screened" in trial.user_attrs for trial in trials)
    for trial in trials:
        if "screened" in trial.user_attrs:
            total = total.add(Refusals.from_json(trial.user_attrs["screened"]))
        elif not counted:
            total.count(name for name, value in excess_of(trial.system_attrs).items() if value > 0)
    return total


def overrides_of(sweep: Sweep, trial: FrozenTrial) -> list[str]:
    """Return the command line's overrides that make the trial's design again."""
    attrs = trial.user_attrs
    used = {name: value for name, value in attrs.get("assignments", {}).items() if name not in attrs.get("unused", ())}
    assignments = {**used, **attrs.get("repairs", {})}
    return with_assignments((one for one in sweep.base if group_of(one) not in SEARCH_GROUPS), assignments)


def command_of(sweep: Sweep, trial: FrozenTrial) -> str:
    """Return the command that runs the trial's design again."""
    return run_command(overrides_of(sweep, trial))


def tell(study: Study, sweep: Sweep, summary: Summary) -> str:
    """Return the summary as text."""
    board, names = summary.board, study.objectives
    ends = Counter(trial.user_attrs.get("state_reason", "?") for trial in board.trained)
    parts = [f"{count} {end}" for end, count in ends.items()]
    parts += [f"{len(board.failed)} failed"] if board.failed else []
    parts += [f"{summary.answered} answered from equal designs"] if summary.answered else []
    lines = [f"study {study.name}: {', '.join(parts) or 'nothing trained'}"]
    if summary.refusals.by_limit:
        worst = ", ".join(f"{name} refused {count}" for name, count in summary.refusals.by_limit.most_common())
        lines.append(
            f"refused {summary.refusals.proposed - summary.refusals.feasible} of {summary.refusals.proposed}: {worst}"
        )
    lines += [f"failed: trial {one.number}: {one.user_attrs.get('cause', 'unknown')}" for one in board.failed[:FAILED]]
    if len(board.failed) > FAILED:
        lines.append(f"failed: {len(board.failed) - FAILED} more")
    lines += [f"cannot be built: {cause}" for cause in unbuildable(board, sweep.name)]
    if warning := summary.refusals.warning():
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


def unbuildable(board: Board, sweep: str) -> list[str]:
    """Return why designs of the sweep are no networks at all, the commonest causes first."""
    causes = Counter(
        str(trial.user_attrs.get("cause"))
        for trial in board.trials
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
