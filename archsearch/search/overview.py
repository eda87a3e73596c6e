"""How a study stands, in a few values: what a list of studies shows of each."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archsearch.search.reading import Direction, StudyRead, TrialState, front_of, rank_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best complete trial, or of several objectives one of the `front` that many trials form."""

    number: int
    values: tuple[float, ...]
    front: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A study's name, its trials by state, its best, and when something last happened in it (aware, UTC)."""

    name: str
    objectives: tuple[str, ...]
    directions: tuple[Direction, ...]
    attrs: Mapping[str, Any]
    counts: Mapping[TrialState, int]
    best: Best | None
    last: datetime.datetime | None


def overview_of(study: StudyRead) -> Overview:
    """Return how the study stands."""
    values = {one.number: one.values for one in study.trials if one.state == "complete" and one.values is not None}
    moments = [moment for one in study.trials for moment in (one.started, one.finished)]
    moments += [_beat(one.attrs) for one in study.trials if one.state == "running"]
    return Overview(
        name=study.name,
        objectives=study.objectives,
        directions=study.directions,
        attrs=study.attrs,
        counts=study.counts(),
        best=best_of(values, study.directions),
        last=max((moment for moment in moments if moment is not None), default=None),
    )


def best_of(values: Mapping[int, tuple[float, ...]], directions: Sequence[str]) -> Best | None:
    """Return the best of complete trials by number; None where there is none."""
    ranks = {number: rank_of(each, directions) for number, each in values.items()}
    if not ranks:
        return None
    front = front_of(ranks)
    first = min(front, key=lambda number: (ranks[number], number))
    return Best(number=first, values=values[first], front=len(front))


def _beat(attrs: Mapping[str, Any]) -> datetime.datetime | None:
    said = attrs.get("beat")
    if isinstance(said, int | float) and math.isfinite(said) and said > 0:
        return datetime.datetime.fromtimestamp(said, datetime.UTC)
    return None
