"""Rows of trials to be written, as plain values: of a design, a finished run or an infeasible proposal."""

from __future__ import annotations

import datetime
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from archsearch.analysis.limits import Margin, margin_record
from archsearch.search.space import Value
from archsearch.search.storage.dashboard import margin_attrs, older_constraints
from archsearch.search.task import Candidate

NUMBER_PLACE = "{number}"  # placeholder in `run_dir` for the trial's number
State = Literal["waiting", "running", "complete", "pruned", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One trial to be written; `constraints` are relative excesses, at most 0 if the limit is kept."""

    state: State
    params: Mapping[str, Value]
    attrs: Mapping[str, Any]
    values: tuple[float, ...] | None = None
    constraints: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[int, float] = field(default_factory=dict)
    system: Mapping[str, Any] = field(default_factory=dict)
    started: datetime.datetime | None = None  # UTC; None is now

    def all_system(self) -> dict[str, Any]:
        """Return the attributes that Optuna itself reads."""
        each = {f"constraints:{name}": float(value) for name, value in self.constraints.items()}
        return {**self.system, **each, **older_constraints(each)}


RunState = Literal["complete", "pruned", "diverged", "infeasible", "failed"]
_STATES: dict[RunState, State] = {
    "complete": "complete",
    "pruned": "pruned",
    "diverged": "pruned",
    "infeasible": "pruned",
    "failed": "fail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A finished run to be recorded.

    `params` are the dotted keys that were set, `values` one number per objective (None unless complete),
    `history` the validation accuracy by epoch (the first is 1), `design_yaml` a design that can be run again, and
    `reason` a sentence that explains why there is no value.
    """

    params: Mapping[str, Value]
    state: RunState
    values: Sequence[float] | None
    key: str
    design_id: str
    design_yaml: str
    margins: Sequence[Margin]
    parameters: int
    macs: int
    receptive_field: int
    run_dir: str
    seconds: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    history: Mapping[int, float] = field(default_factory=dict)
    reason: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    started: datetime.datetime | None = None


def run_row(run: RunRecord) -> Row:
    """Return the row of a finished single run."""
    attrs = {
        **design_attrs(run, run.run_dir),
        "state_reason": run.state,
        "location": location_of(run.run_dir),
        **({"cause": run.reason} if run.reason else {}),
        "design": run.design_yaml,
        **run.more,
    }
    if run.seconds is not None:
        attrs["seconds"] = round(run.seconds, 3)
    if run.versions:
        attrs["versions"] = dict(run.versions)
    return Row(
        state=_STATES[run.state],
        params=run.params,
        attrs=attrs,
        values=tuple(run.values) if run.values is not None and run.state == "complete" else None,
        constraints=constraints_of(run.margins),
        history=run.history,
        system=run.artifacts,
        started=run.started,
    )


def design_attrs(design: Candidate | RunRecord, run_dir: str) -> dict[str, Any]:
    """Return the attributes that every trial of a feasible design has."""
    return {
        **margin_attrs(design.margins),
        "key": design.key,
        "design_id": design.design_id,
        "parameters": design.parameters,
        "macs": design.macs,
        "receptive_field": design.receptive_field,
        "margins": margins_json(design.margins),
        "run_dir": run_dir,
    }


def location_of(run_dir: str | Path) -> str:
    """Return `HOST:FOLDER` for a folder on this machine, the form that scp and rsync accept."""
    return f"{socket.gethostname()}:{Path(run_dir).absolute()}"


def margins_json(margins: Sequence[Margin]) -> str:
    """Return the margins as JSON text: a list of limit, bound, found, kept, slack, fixes."""
    return json.dumps([margin_record(margin) for margin in margins])


def constraints_of(margins: Sequence[Margin]) -> dict[str, float]:
    """Return the relative excess of every limit: above 0 if it is broken, at most 0 if it is kept."""
    return {margin.limit: margin.excess if not margin.kept else -abs(margin.slack) for margin in margins}
