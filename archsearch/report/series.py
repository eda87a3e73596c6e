"""What the charts of a study show, as values: its history, its trade-offs, its curves. No drawing, no numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from archsearch.report.vocabulary import BOUNDS, DUPLICATE, INFEASIBLE, bound_text, finite
from archsearch.search.storage.read import StudyRead, TrialRead, TrialState, front_of, rank_of

PointKind = Literal["best", "complete", "pruned"]
COSTS = ("parameters", "macs")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One trial in a chart; `best` marks the front of a trade-off, and each best value so far of a history."""

    trial: int
    x: float
    y: float
    kind: PointKind


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """An objective over the trials in order; `best` is each best so far, `without_value` (trial, state) of the others.

    Those others failed, diverged or were infeasible.
    """

    objective: str
    points: tuple[Point, ...]
    best: tuple[tuple[float, float], ...]
    without_value: tuple[tuple[int, TrialState], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOff:
    """The first objective against a cost, one point per trial.

    `front` has the points that are `best`, and `line` those that are not dominated in these two, from the cheapest
    on: the same ones, unless there are more objectives than two.
    """

    cost: str
    is_less_better: bool
    objective: str
    points: tuple[Point, ...]
    front: tuple[Point, ...]
    line: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The learning curve of one trial: (epoch, accuracy), finite; `rank` counts the best ones from 1."""

    trial: int
    state: TrialState
    rank: int | None
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """The curves that are drawn, best last, and how many there are in all."""

    drawn: tuple[Curve, ...]
    total: int


def value_of(study: StudyRead, trial: TrialRead, name: str) -> float | None:
    """Return a trial's number of that name: an objective's value, an attribute or a setting, or None."""
    if name == "trial":
        return trial.number
    if name in study.objectives and trial.values is not None:
        place = study.objectives.index(name)
        return finite(trial.values[place]) if place < len(trial.values) else None
    return finite(trial.attrs.get(name, trial.assignments.get(name)))


def last_accuracy(trial: TrialRead) -> float | None:
    """Return the last finite accuracy that the trial reported."""
    reported = (finite(trial.history[epoch]) for epoch in sorted(trial.history, reverse=True))
    return next((value for value in reported if value is not None), None)


def ranked_finite(study: StudyRead) -> list[TrialRead]:
    """Return the complete trials whose values are numbers, the best first."""
    return [
        trial for trial in study.ranked() if trial.values and all(finite(each) is not None for each in trial.values)
    ]


def pareto_front(study: StudyRead) -> frozenset[int]:
    """Return the numbers of the trials of `ranked_finite` that no other one of them beats in every objective."""
    return front_of({trial.number: rank_of(trial.values or (), study.directions) for trial in ranked_finite(study)})


def is_higher_better(study: StudyRead, place: int = 0) -> bool:
    """Return which way is better for an objective."""
    return place >= len(study.directions) or study.directions[place] == "maximize"


def history(study: StudyRead, place: int = 0) -> History:
    """Return the objective at `place` from trial to trial; a pruned trial has its last reported accuracy."""
    name, higher = study.objectives[place], is_higher_better(study, place)
    points: list[Point] = []
    best: list[tuple[float, float]] = []
    without_value: list[tuple[int, TrialState]] = []
    for trial in study.trials:
        value = value_of(study, trial, name) if trial.state == "complete" else None
        if value is not None:
            better = not best or (value > best[-1][1] if higher else value < best[-1][1])
            if better:
                best.append((trial.number, value))
            points.append(Point(trial=trial.number, x=trial.number, y=value, kind="best" if better else "complete"))
        elif trial.state == "pruned" and name == "accuracy" and (last := last_accuracy(trial)) is not None:
            points.append(Point(trial=trial.number, x=trial.number, y=last, kind="pruned"))
        elif trial.state in ("failed", "diverged", INFEASIBLE):
            without_value.append((trial.number, trial.state))
    return History(objective=name, points=tuple(points), best=tuple(best), without_value=tuple(without_value))


def trade_offs(study: StudyRead) -> list[TradeOff]:
    """Return the first objective against parameters, against MACs, and against every further objective."""
    names = [name for name in (*COSTS, *study.objectives[1:]) if name != study.objectives[0]]
    found = [trade_off(study, name) for name in dict.fromkeys(names)]
    return [each for each in found if each.points]


def trade_off(study: StudyRead, cost: str) -> TradeOff:
    """Return the first objective against `cost`, an objective or an attribute of the trials.

    Where `cost` is an objective the front is the study's own; else it is that of the pair.
    """
    name = study.objectives[0]
    less = not (cost in study.objectives and is_higher_better(study, study.objectives.index(cost)))
    complete: dict[int, tuple[float, float]] = {}
    pruned: list[Point] = []
    for trial in study.trials:
        x, value = value_of(study, trial, cost), value_of(study, trial, name)
        if x is None:
            continue
        if trial.state == "complete" and value is not None:
            complete[trial.number] = (x, value)
        elif trial.state == "pruned" and name == "accuracy" and (last := last_accuracy(trial)) is not None:
            pruned.append(Point(trial=trial.number, x=x, y=last, kind="pruned"))
    across, up = (1 if less else -1), (-1 if is_higher_better(study) else 1)
    of_pair = _front({number: (across * x, up * y) for number, (x, y) in complete.items()})
    best = pareto_front(study) & complete.keys() if cost in study.objectives else of_pair
    others = [_trial_point(number, complete, "complete") for number in complete if number not in best]
    front = sorted((_trial_point(number, complete, "best") for number in best), key=lambda each: (each.x, each.y))
    return TradeOff(
        cost=cost,
        is_less_better=less,
        objective=name,
        points=(*pruned, *others, *front),
        front=tuple(front),
        line=tuple(sorted({complete[number] for number in of_pair & set(best)})),
    )


def _trial_point(number: int, places: Mapping[int, tuple[float, float]], kind: PointKind) -> Point:
    return Point(trial=number, x=places[number][0], y=places[number][1], kind=kind)


def _front(ranks: Mapping[int, tuple[float, float]]) -> set[int]:
    """Return the keys of the pairs that no other one beats, less being better; in one pass over the sorted ones."""
    best: set[int] = set()
    least, last = math.inf, (math.inf, math.inf)
    for number, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if rank[1] < least or rank == last:
            best.add(number)
            least, last = min(least, rank[1]), rank
    return best


def curves(study: StudyRead, *, best: int = 5, most: int = 60) -> Curves:
    """Return at most `most` learning curves: those of the `best` trials, and others spread over the study."""
    ranks = {trial.number: rank for rank, trial in enumerate(study.ranked()[:best], start=1)}
    found: list[Curve] = []
    for trial in study.trials:
        points = finite_history(trial)
        if points and trial.state != DUPLICATE:
            found.append(Curve(trial=trial.number, state=trial.state, rank=ranks.get(trial.number), points=points))
    drawn = thinned(found, most, lambda curve: curve.rank is not None)
    return Curves(drawn=tuple(sorted(drawn, key=lambda one: -(one.rank or len(ranks) + 1))), total=len(found))


def finite_history(trial: TrialRead) -> tuple[tuple[int, float], ...]:
    """Return the (epoch, value) that the trial reported, in order, without what is not a number."""
    reported = ((epoch, finite(trial.history[epoch])) for epoch in sorted(trial.history))
    return tuple((epoch, value) for epoch, value in reported if value is not None)


def cost_bounds(study: StudyRead, cost: str) -> dict[str, float]:
    """Return the limits on `cost` by their text, such as `below 200 000`."""
    limits = study.attrs.get("limits_text")
    bound = limits.get(cost) if isinstance(limits, dict) else None
    known = {key: finite(bound.get(key)) for key in BOUNDS} if isinstance(bound, dict) else {}
    return {bound_text({key: value}): value for key, value in known.items() if value is not None}


def thinned(items: Sequence[_T], most: int, kept: Callable[[_T], bool]) -> list[_T]:
    """Return at most about `most` of `items` in their order: all that must be `kept`, and others evenly spread."""
    others = [place for place, item in enumerate(items) if not kept(item)]
    room = max(0, most - (len(items) - len(others)))
    chosen = set(others if len(others) <= room else (others[step * len(others) // room] for step in range(room)))
    return [item for place, item in enumerate(items) if place in chosen or kept(item)]


def central_range(values: Iterable[float]) -> tuple[float, float]:
    """Return the least and the greatest of the values within two quartile ranges of the quartiles."""
    ordered = sorted(values)
    if not ordered:
        return 0.0, 1.0
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    reach = 2 * (high - low) or abs(high) or 1.0
    inside = [value for value in ordered if low - reach <= value <= high + reach]
    return inside[0], inside[-1]


def varied_settings(study: StudyRead) -> dict[str, list[object]]:
    """Return the settings that took several values among the trials, with these values in the order they came."""
    found: dict[str, dict[str, object]] = {}
    for trial in study.trials:
        for name, value in trial.assignments.items():
            found.setdefault(str(name), {}).setdefault(repr(value), value)
    return {name: list(values.values()) for name, values in found.items() if len(values) > 1}
