"""Trials and studies made by hand, for tests that need no database."""

from __future__ import annotations

from archsearch.search.storage.read import StudyRead, TrialRead, TrialState

WAYS = {"accuracy": "maximize", "macs": "minimize"}


def trial(number: int, *values: float, state: TrialState = "complete", **attrs: object) -> TrialRead:
    return TrialRead(
        number=number,
        state=state,
        values=values or None,
        assignments={},
        constraints={},
        history={},
        attrs=attrs,
        started=None,
        finished=None,
    )


def study_of(*trials: TrialRead, objectives: tuple[str, ...] = ("accuracy",), **attrs: object) -> StudyRead:
    directions = tuple(WAYS[name] for name in objectives)
    return StudyRead(name="s", objectives=objectives, directions=directions, attrs=attrs, trials=trials)  # type: ignore[arg-type]
