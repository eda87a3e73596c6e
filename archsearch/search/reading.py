"""Studies as values: what a study database holds, read in one pass, for whoever shows it.

Nothing here writes, and nothing of Optuna goes on: the report, the commands and notebooks see frozen values.
Imports optuna inside functions only.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from archsearch.search.store import Store
from archsearch.search.studies import load_study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

TrialState = Literal[
    "complete", "pruned", "diverged", "failed", "refused", "answered", "withdrawn", "running", "waiting"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRead:
    """One trial as it stands in the database.

    `values` has one number per objective, None unless complete; `assignments` the dotted keys that were set;
    `constraints` the relative excess per limit (above 0: broken); `history` the validation accuracy by epoch;
    `attrs` all that the trial says of itself (`docs/search.md` lists it). Times are UTC.
    """

    number: int
    state: TrialState
    values: tuple[float, ...] | None
    assignments: Mapping[str, Any]
    constraints: Mapping[str, float]
    history: Mapping[int, float]
    attrs: Mapping[str, Any]
    started: datetime.datetime | None
    finished: datetime.datetime | None

    @property
    def margins(self) -> list[dict[str, Any]]:
        """The margins of the design: limit, bound, found, kept, slack, mends; empty where none were recorded."""
        text = self.attrs.get("margins")
        return json.loads(text) if text else []

    @property
    def seconds(self) -> float | None:
        """How long it trained; None where nobody has written it down."""
        return self.attrs.get("seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRead:
    """One study with all of its trials, in order; `attrs` are the study's own (data, limits, fingerprint, ...)."""

    name: str
    objectives: tuple[str, ...]
    directions: tuple[Literal["maximize", "minimize"], ...]
    attrs: Mapping[str, Any]
    trials: tuple[TrialRead, ...] = field(repr=False)

    def ranked(self) -> list[TrialRead]:
        """Return the complete trials, best first; with several objectives the Pareto front comes before the others."""
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.values is not None]
        front = self.front()
        return sorted(complete, key=lambda trial: (trial.number not in front, self._rank(trial), trial.number))

    def front(self) -> frozenset[int]:
        """Return the numbers of the complete trials that no other one beats in every objective."""
        ranks = {trial.number: self._rank(trial) for trial in self.trials if trial.state == "complete" and trial.values}
        return frozenset(
            number
            for number, one in ranks.items()
            if not any(
                other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in ranks.values()
            )
        )

    def _rank(self, trial: TrialRead) -> tuple[float, ...]:
        assert trial.values is not None, "a complete trial has values"
        return tuple(
            -value if way == "maximize" else value for value, way in zip(trial.values, self.directions, strict=True)
        )


def read_study(store: Store, name: str) -> StudyRead:
    """Return the study `name`; raises `SpecError` with the names there are where it is missing."""
    study = load_study(store, name)
    return StudyRead(
        name=name,
        objectives=study.objectives,
        directions=study.directions,
        attrs=study.raw.user_attrs,
        trials=tuple(_trials(study.trials())),
    )


def _trials(found: Iterable[FrozenTrial]) -> Iterable[TrialRead]:
    for trial in found:
        attrs = trial.user_attrs
        yield TrialRead(
            number=trial.number,
            state=_state(trial.state.name, str(attrs.get("state_reason", ""))),
            values=tuple(trial.values) if trial.state.name == "COMPLETE" and trial.values is not None else None,
            assignments=attrs.get("assignments", trial.params),
            constraints=dict(trial.constraints),
            history=dict(trial.intermediate_values),
            attrs=attrs,
            started=trial.datetime_start,
            finished=trial.datetime_complete,
        )


def _state(state: str, reason: str) -> TrialState:
    match state, reason:
        case "RUNNING", _:
            return "running"
        case "WAITING", _:
            return "waiting"
        case "COMPLETE", _:
            return "complete"
        case _, "refused" | "answered" | "withdrawn" | "diverged":
            return reason
        case "FAIL", _:
            return "failed"
        case _:
            return "pruned"
