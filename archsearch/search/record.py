"""A finished single run as a trial: the row that `archsearch.run` leaves in the study database.

Knows no training: what a run gave comes as plain values.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from archsearch.analysis.limits import Margin
from archsearch.search.candidates import Value
from archsearch.search.dashboard import margin_attrs
from archsearch.search.rows import Row, State
from archsearch.search.studies import Study

RunState = Literal["complete", "pruned", "diverged", "refused", "failed"]
_STATES: dict[RunState, State] = {
    "complete": "complete",
    "pruned": "pruned",
    "diverged": "pruned",
    "refused": "pruned",
    "failed": "fail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What one run says of itself.

    `params` are the dotted keys that were set, `values` one number per objective (None unless complete),
    `history` the validation accuracy by epoch (1 for the first), `design_yaml` a design that runs again, `reason` why
    it has no value, in a sentence.
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


def record_run(study: Study, run: RunRecord) -> int:
    """Write `run` as a finished trial of `study` and return the trial's number."""
    return study.write([row_of(run)])[0]


def row_of(run: RunRecord) -> Row:
    """Return the trial that says what `run` says."""
    attrs: dict[str, Any] = {
        **margin_attrs(run.margins),
        "state_reason": run.state,
        **({"cause": run.reason} if run.reason else {}),
        "key": run.key,
        "design_id": run.design_id,
        "parameters": run.parameters,
        "macs": run.macs,
        "receptive_field": run.receptive_field,
        "run_dir": run.run_dir,
        "design": run.design_yaml,
        "margins": margins_json(run.margins),
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


def margins_json(margins: Sequence[Margin]) -> str:
    """Return the margins as JSON text: a list of limit, bound, found, kept, slack, fixes."""
    return json.dumps([{**asdict(margin), "fixes": list(margin.fixes)} for margin in margins])


def constraints_of(margins: Sequence[Margin]) -> dict[str, float]:
    """Return the relative excess of every limit: above 0 where it is broken, at most 0 where it is kept."""
    return {margin.limit: margin.excess if not margin.kept else -abs(margin.slack) for margin in margins}
