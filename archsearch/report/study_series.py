"""What the charts of a study show, as values: its course, its trade-offs, its curves. No drawing, no numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from archsearch.search.storage.read import StudyRead, TrialRead, front_of, rank_of

PointKind = Literal["best", "complete", "pruned"]
COSTS = ("parameters", "macs")
_MOST = 1e300  # differences of greater numbers overflow
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One trial in a chart; `best` stands for the front of a trade-off, and for every record of a course."""

    trial: int
    x: float
    y: float
    kind: PointKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """An objective over the trials in order; `record` is each best so far, `ends` what has no value."""

    objective: str
    points: tuple[Point, ...]
    record: tuple[tuple[float, float], ...]
    ends: tuple[tuple[int, str], ...]
    """(trial, state) of what failed, diverged or was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOff:
    """The first objective against a cost, every trial a point, the front from the cheapest on."""

    cost: str
    is_less_better: bool
    objective: str
    points: tuple[Point, ...]
    front: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The learning curve of one trial: (epoch, accuracy), finite; `place` counts the best ones from 1."""

    trial: int
    state: str
    place: int | None
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """The curves that are drawn, best last, and how many there are in all."""

    drawn: tuple[Curve, ...]
    total: int


def finite(value: object) -> float | None:
    """Return `value` as a number, or None for text, truth values, NaN, infinities and what is next to them."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) and abs(found) < _MOST else None


def measured(study: StudyRead, trial: TrialRead, name: str) -> float | None:
    """Return what is known of a trial by the name of an objective or of an attribute; None where nothing is."""
    if name in study.objectives and trial.values is not None:
        place = study.objectives.index(name)
        if place < len(trial.values):
            return finite(trial.values[place])
    return finite(trial.attrs.get(name))


def last_seen(trial: TrialRead) -> float | None:
    """Return the last finite accuracy that the trial reported."""
    return next((seen for epoch in sorted(trial.history, reverse=True) if (seen := finite(trial.history[epoch]))), None)


def sound(study: StudyRead) -> list[TrialRead]:
    """Return the complete trials whose values are numbers, the best first."""
    return [
        trial for trial in study.ranked() if trial.values and all(finite(each) is not None for each in trial.values)
    ]


def front(study: StudyRead) -> frozenset[int]:
    """Return the numbers of the `sound` trials that no other one of them beats in every objective."""
    return front_of({trial.number: rank_of(trial.values or (), study.directions) for trial in sound(study)})


def is_higher_better(study: StudyRead, place: int = 0) -> bool:
    """Return which way is better for an objective."""
    return place >= len(study.directions) or study.directions[place] == "maximize"


def course(study: StudyRead, place: int = 0) -> Course:
    """Return how the objective at `place` went from trial to trial; a pruned trial stands where it was stopped."""
    name, higher = study.objectives[place], is_higher_better(study, place)
    points: list[Point] = []
    record: list[tuple[float, float]] = []
    ends: list[tuple[int, str]] = []
    for trial in study.trials:
        value = measured(study, trial, name) if trial.state == "complete" else None
        if value is not None:
            better = not record or (value > record[-1][1] if higher else value < record[-1][1])
            if better:
                record.append((trial.number, value))
            points.append(Point(trial=trial.number, x=trial.number, y=value, kind="best" if better else "complete"))
        elif trial.state == "pruned" and name == "accuracy" and (seen := last_seen(trial)) is not None:
            points.append(Point(trial=trial.number, x=trial.number, y=seen, kind="pruned"))
        elif trial.state in ("failed", "diverged", "infeasible"):
            ends.append((trial.number, trial.state))
    return Course(objective=name, points=tuple(points), record=tuple(record), ends=tuple(ends))


def trade_offs(study: StudyRead) -> list[TradeOff]:
    """Return the first objective against parameters, against MACs, and against every further objective."""
    names = [name for name in (*COSTS, *study.objectives[1:]) if name != study.objectives[0]]
    found = [trade_off(study, name) for name in dict.fromkeys(names)]
    return [each for each in found if each.points]


def trade_off(study: StudyRead, cost: str) -> TradeOff:
    """Return the first objective against `cost`, an objective or an attribute of the trials."""
    name = study.objectives[0]
    less = not (cost in study.objectives and is_higher_better(study, study.objectives.index(cost)))
    complete: dict[int, tuple[float, float]] = {}
    pruned: list[Point] = []
    for trial in study.trials:
        x, value = measured(study, trial, cost), measured(study, trial, name)
        if x is None:
            continue
        if trial.state == "complete" and value is not None:
            complete[trial.number] = (x, value)
        elif trial.state == "pruned" and name == "accuracy" and (seen := last_seen(trial)) is not None:
            pruned.append(Point(trial=trial.number, x=x, y=seen, kind="pruned"))
    across, up = (1 if less else -1), (-1 if is_higher_better(study) else 1)
    best = _front({number: (across * x, up * y) for number, (x, y) in complete.items()})
    points = [
        Point(trial=number, x=x, y=y, kind="best" if number in best else "complete")
        for number, (x, y) in complete.items()
    ]
    return TradeOff(
        cost=cost,
        is_less_better=less,
        objective=name,
        points=(
            *pruned,
            *(each for each in points if each.kind == "complete"),
            *(p for p in points if p.kind == "best"),
        ),
        front=tuple(sorted((each for each in points if each.kind == "best"), key=lambda each: (each.x, each.y))),
    )


def _front(ranks: Mapping[int, tuple[float, float]]) -> set[int]:
    """Return the keys of the pairs that no other one beats, less being better; in one pass over the sorted ones."""
    best: set[int] = set()
    least, last = math.inf, (math.inf, math.inf)
    for number, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if rank[1] < least or rank == last:
            best.add(number)
            least, last = min(least, rank[1]), rank
    return best


def curves(study: StudyRead, *, named: int = 5, most: int = 60) -> Curves:
    """Return at most `most` learning curves: those of the `named` best trials, and others spread over the study."""
    places = {trial.number: place for place, trial in enumerate(study.ranked()[:named], start=1)}
    found: list[Curve] = []
    for trial in study.trials:
        points = tuple(
            (epoch, seen) for epoch in sorted(trial.history) if (seen := finite(trial.history[epoch])) is not None
        )
        if points and trial.state != "duplicate":
            found.append(Curve(trial=trial.number, state=trial.state, place=places.get(trial.number), points=points))
    drawn = thinned(found, most, lambda curve: curve.place is not None)
    return Curves(drawn=tuple(sorted(drawn, key=lambda one: -(one.place or len(places) + 1))), total=len(found))


def thinned(items: Sequence[_T], most: int, kept: Callable[[_T], bool]) -> list[_T]:
    """Return at most about `most` of `items` in their order: all that must be `kept`, and others evenly spread."""
    others = [place for place, item in enumerate(items) if not kept(item)]
    room = max(0, most - (len(items) - len(others)))
    chosen = set(others if len(others) <= room else (others[step * len(others) // room] for step in range(room)))
    return [item for place, item in enumerate(items) if place in chosen or kept(item)]


def window(values: Iterable[float]) -> tuple[float, float]:
    """Return the least and the greatest of the values that do not lie far off: within two quartile ranges."""
    ordered = sorted(values)
    if not ordered:
        return 0.0, 1.0
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    reach = 2 * (high - low) or abs(high) or 1.0
    inside = [value for value in ordered if low - reach <= value <= high + reach]
    return inside[0], inside[-1]


def brief_setting(value: object) -> str:
    """Return a setting as few letters as say it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def short_key(name: str) -> str:
    """Return a dotted key without what all of a design's keys begin with."""
    return name.removeprefix("arch.stages.").removeprefix("arch.")


def varied(study: StudyRead) -> dict[str, list[object]]:
    """Return the settings that took several values among the trials, with these values in the order they came."""
    seen: dict[str, dict[str, object]] = {}
    for trial in study.trials:
        for name, value in trial.assignments.items():
            seen.setdefault(str(name), {}).setdefault(repr(value), value)
    return {name: list(values.values()) for name, values in seen.items() if len(values) > 1}
