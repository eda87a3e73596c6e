"""Studies as plain values that JSON can say: what `--json` prints, and what the tables are printed from."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

from archsearch.decode import suggest
from archsearch.errors import SpecError
from archsearch.report.design_blocks import blocks_of
from archsearch.report.run_files import run_files
from archsearch.search.explain import Why
from archsearch.search.reproduce import command_again
from archsearch.search.storage.doctor import Finding
from archsearch.search.storage.read import Overview, StudyRead, TrialRead

_MOST = 1e300  # beyond that differences overflow
COLUMNS = ("parameters", "macs", "receptive_field", "seconds")


def overview_record(study: Overview) -> dict[str, Any]:
    """Return one line of the list of studies."""
    best = study.best
    return {
        "study": study.name,
        "objectives": list(study.objectives),
        "directions": list(study.directions),
        "data": study.attrs.get("data"),
        "limits": study.attrs.get("limits"),
        "trials": sum(study.counts.values()),
        "states": dict(study.counts),
        "best": None if best is None else _best(study.objectives, best.number, best.values, best.front),
        "last_activity": _moment(study.last),
    }


def _best(objectives: Sequence[str], number: int, values: Sequence[float], front: int) -> dict[str, Any]:
    found: dict[str, Any] = {"trial": number, "values": dict(zip(objectives, values, strict=False))}
    return found if len(objectives) == 1 else {**found, "front": front}


def study_record(study: StudyRead, rows: Sequence[TrialRead]) -> dict[str, Any]:
    """Return a leaderboard: the study's head and the chosen `rows`."""
    front = study.front()
    return {
        "study": study.name,
        "objectives": list(study.objectives),
        "directions": list(study.directions),
        "data": study.attrs.get("data"),
        "limits": study.attrs.get("limits"),
        "states": study.counts(),
        "trials": [row_record(study, trial, front) for trial in rows],
    }


def row_record(study: StudyRead, trial: TrialRead, front: frozenset[int] | None = None) -> dict[str, Any]:
    """Return one line of the leaderboard."""
    return {
        "trial": trial.number,
        "state": trial.state,
        "front": trial.number in (study.front() if front is None else front),
        "values": _values(study, trial),
        **{name: worth(study, trial, name) for name in COLUMNS if name not in study.objectives},
        "blocks": blocks_of(trial),
        "run_dir": trial.attrs.get("run_dir"),
        "cause": trial.cause,
    }


def trial_record(study: StudyRead, trial: TrialRead, front: frozenset[int] | None = None) -> dict[str, Any]:
    """Return everything about one trial."""
    files = run_files(trial)
    told = {"assignments", "margins", "cause", "state_reason", "run_dir", "design", "traceback", *COLUMNS}
    return {
        "study": study.name,
        **row_record(study, trial, front),
        "assignments": dict(trial.assignments),
        "margins": trial.margins,
        "constraints": dict(trial.constraints),
        "history": {str(epoch): value for epoch, value in trial.history.items()},
        "command": command_again(study, trial),
        "started": _moment(trial.started),
        "finished": _moment(trial.finished),
        "files": None if files is None else files.files if files.found else None,
        "log": [] if files is None else list(files.tail),
        "traceback": trial.attrs.get("traceback"),
        "design": trial.attrs.get("design"),
        "more": {name: value for name, value in trial.attrs.items() if name not in told},
    }


def why_record(study: StudyRead, why: Why, importances: Mapping[str, float]) -> dict[str, Any]:
    """Return what refused designs, the nearest misses, failures, and the parameters' shares."""
    refusals = why.infeasible
    return {
        "study": study.name,
        "looked_at": refusals.proposed,
        "kept": refusals.feasible,
        "refused_by": dict(refusals.by_limit.most_common()),
        "warning": refusals.warning(),
        "nearest": [
            {
                "trial": miss.trial.number,
                "excess": miss.excess,
                "margins": [margin for margin in miss.trial.margins if margin["limit"] in miss.excess],
                "assignments": dict(miss.trial.assignments),
            }
            for miss in why.nearest
        ],
        "failures": why.failures,
        "importance": dict(importances),
    }


def finding_record(finding: Finding) -> dict[str, Any]:
    """Return one finding of the doctor."""
    return {
        "kind": finding.kind,
        "study": finding.study,
        "what": finding.what,
        "fix": finding.fix,
        "fixable": finding.fixable,
        "trials": list(finding.trials),
    }


def ranking(
    study: StudyRead, *, by: str | None = None, states: Sequence[str] = ("complete",), reverse: bool = False
) -> list[TrialRead]:
    """Return the trials of these states, best first by `by` (by default as the study itself ranks them).

    What has no such value comes last. Raises `SpecError` for a name by which no trial has a number.
    """
    chosen = [trial for trial in study.trials if trial.state in states]
    if by is None:
        ranked = study.ranked() if "complete" in states else []
        there = {trial.number for trial in ranked}
        found = [*ranked, *(trial for trial in chosen if trial.number not in there)]
        return found[::-1] if reverse else found
    worths = {trial.number: worth(study, trial, by) for trial in chosen}
    if chosen and by != "trial" and all(value is None for value in worths.values()):
        known = sorted({*study.objectives, *COLUMNS, "trial", *_numeric(chosen)})
        raise SpecError("--by", f"no trial has a number '{by}'", suggest(by, known))
    sign = -1 if (_way(study, by) == "maximize") != reverse else 1
    return sorted(
        chosen,
        key=lambda trial: ((value := worths[trial.number]) is None, sign * (value or 0.0), trial.number),
    )


def worth(study: StudyRead, trial: TrialRead, name: str) -> float | None:
    """Return a trial's number of that name: an objective's value, else an attribute's; None where there is none."""
    if name == "trial":
        return trial.number
    if name in study.objectives and trial.values is not None:
        found: Any = trial.values[study.objectives.index(name)]
    else:
        found = trial.attrs.get(name, trial.assignments.get(name))
    number = isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < _MOST
    return found if number else None


def _way(study: StudyRead, name: str) -> str:
    from archsearch.search.storage.study import DIRECTIONS

    if name in study.objectives:
        return study.directions[study.objectives.index(name)]
    return "maximize" if name.endswith("accuracy") else DIRECTIONS.get(name, "minimize")


def _numeric(trials: Sequence[TrialRead]) -> set[str]:
    return {
        name
        for trial in trials
        for name, value in {**trial.assignments, **trial.attrs}.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _values(study: StudyRead, trial: TrialRead) -> dict[str, float] | None:
    return None if trial.values is None else dict(zip(study.objectives, trial.values, strict=False))


def _moment(when: datetime.datetime | None) -> str | None:
    return None if when is None else when.astimezone(datetime.UTC).isoformat(timespec="seconds")


def strict(value: Any) -> Any:
    """Return plain values in which what is no finite number is null, as JSON knows no other."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [strict(each) for each in value]
    return value if value is None or isinstance(value, str | bool | int) else str(value)
