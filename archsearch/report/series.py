"""Data over the trials of a study: values, the Pareto front, learning curves, ranges. No drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from archsearch.report.vocabulary import BOUNDS, bound_text, finite
from archsearch.search.storage.read import StudyRead, TrialRead, front_of, rank_of

_T = TypeVar("_T")


def value_of(study: StudyRead, trial: TrialRead, name: str) -> float | None:
    """Return the number `name` of a trial: `trial`, an objective, an attribute or a setting; None if it has none."""
    if name == "trial":
        return trial.number
    if name in study.objectives and trial.values is not None:
        place = study.objectives.index(name)
        return finite(trial.values[place]) if place < len(trial.values) else None
    return finite(trial.attrs.get(name, trial.assignments.get(name)))


def last_accuracy(trial: TrialRead) -> float | None:
    """Return the last finite accuracy that the trial reported, if any."""
    reported = (finite(trial.history[epoch]) for epoch in sorted(trial.history, reverse=True))
    return next((value for value in reported if value is not None), None)


def ranked_finite(study: StudyRead) -> list[TrialRead]:
    """Return the complete trials whose values are all finite, best first."""
    return [
        trial for trial in study.ranked() if trial.values and all(finite(each) is not None for each in trial.values)
    ]


def pareto_front(study: StudyRead) -> frozenset[int]:
    """Return the numbers of the trials of `ranked_finite` on the Pareto front.

    Only trials of the highest rung are compared.
    """
    there = {trial.number for trial in study.comparable()}
    found = (trial for trial in ranked_finite(study) if trial.number in there)
    return front_of({trial.number: rank_of(trial.values or (), study.directions) for trial in found})


def is_higher_better(study: StudyRead, place: int = 0) -> bool:
    """Return whether the objective at `place` is maximised, or has no recorded direction."""
    return place >= len(study.directions) or study.directions[place] == "maximize"


def finite_history(trial: TrialRead) -> tuple[tuple[int, float], ...]:
    """Return the (epoch, value) pairs that the trial reported, in order, without values that are not finite."""
    reported = ((epoch, finite(trial.history[epoch])) for epoch in sorted(trial.history))
    return tuple((epoch, value) for epoch, value in reported if value is not None)


def cost_bounds(study: StudyRead, cost: str) -> dict[str, float]:
    """Return the bounds of the limit on `cost` by their text, such as `below 200 000`."""
    limits = study.attrs.get("limits_text")
    bound = limits.get(cost) if isinstance(limits, dict) else None
    known = {key: finite(bound.get(key)) for key in BOUNDS} if isinstance(bound, dict) else {}
    return {bound_text({key: value}): value for key, value in known.items() if value is not None}


def thinned(items: Sequence[_T], most: int, kept: Callable[[_T], bool]) -> list[_T]:
    """Return at most `most` of `items`, in order: all that satisfy `kept`, and evenly spaced others.

    If more than `most` satisfy `kept`, only evenly spaced ones of these are returned.
    """
    wanted = {place for place, item in enumerate(items) if kept(item)}
    others = [place for place in range(len(items)) if place not in wanted]
    chosen = {*_spread(sorted(wanted), most), *_spread(others, most - len(wanted))}
    return [item for place, item in enumerate(items) if place in chosen]


def _spread(places: Sequence[int], most: int) -> Sequence[int]:
    """Return at most `most` evenly spaced places, including the first and, unless `most` is 1, the last."""
    if len(places) <= most:
        return places
    return [places[step * (len(places) - 1) // max(most - 1, 1)] for step in range(most)]


def central_range(values: Iterable[float]) -> tuple[float, float]:
    """Return the minimum and maximum of the values that are within two interquartile ranges of the quartiles."""
    ordered = sorted(values)
    if not ordered:
        return 0.0, 1.0
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    reach = 2 * (high - low) or abs(high) or 1.0
    inside = [value for value in ordered if low - reach <= value <= high + reach]
    return inside[0], inside[-1]


def varied_settings(study: StudyRead) -> dict[str, list[object]]:
    """Return the settings with several values among the trials, and these values in order of appearance."""
    found: dict[str, dict[str, object]] = {}
    for trial in study.trials:
        for name, value in trial.assignments.items():
            found.setdefault(str(name), {}).setdefault(repr(value), value)
    return {name: list(values.values()) for name, values in found.items() if len(values) > 1}
